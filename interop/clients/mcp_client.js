// A client of MCP: the SDK for Node. Usage: mcp_client.js NAME; lists tools and calls `find` and `burn`.
const path = require("path");
const sdk = (name) => {
  const found = process.env.NODE_PATH.split(":").map((p) => path.join(p, "@modelcontextprotocol/sdk/dist/cjs", name));
  return require(found.find((p) => require("fs").existsSync(p)));
};
const { Client } = sdk("client/index.js");
const { StreamableHTTPClientTransport } = sdk("client/streamableHttp.js");

(async () => {
  const name = process.argv[2].toUpperCase();
  const headers = { Authorization: `Bearer ${process.env[name + "_API_KEY"]}` };
  const url = new URL(process.env[name + "_BASE_URL"] + "/");
  const client = new Client({ name: "test", version: "1" });
  await client.connect(new StreamableHTTPClientTransport(url, { requestInit: { headers } }));
  const { tools } = await client.listTools();
  console.log(JSON.stringify(tools.map((tool) => tool.name)));
  console.log(JSON.stringify(await client.callTool({ name: "find", arguments: { id: 3 } })));
  console.log(JSON.stringify(await client.callTool({ name: "burn", arguments: { what: "all" } })));
  await client.close();
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
