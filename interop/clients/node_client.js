// node-postgres: text format, unnamed and named statements, errors, a pool.
const { Client, Pool } = require('pg');
const assert = require('assert');
const RAW = '402-81-1957';

async function refused(client, sql) {
  try {
    await client.query(sql);
  } catch (error) {
    return error.code;
  }
  throw new Error('not refused: ' + sql);
}

async function main() {
  const connectionString = process.env.DATABASE_URL;
  const client = new Client({ connectionString });
  await client.connect();
  assert.strictEqual((await client.query('SELECT $1::int + 1 AS n', [41])).rows[0].n, 42);
  const masked = (await client.query('SELECT ssn FROM customers WHERE id = $1', [3])).rows[0].ssn;
  assert(masked && masked !== RAW, masked);
  assert.strictEqual(await refused(client, 'DROP TABLE orders'), '42501');
  for (let n = 0; n < 10; n++) {
    const query = { name: 'amount', text: 'SELECT amount FROM orders WHERE id = $1', values: [1 + (n % 6)] };
    assert.strictEqual((await client.query(query)).rows.length, 1);
  }
  await client.query('BEGIN');
  assert.strictEqual(await refused(client, 'DROP TABLE orders'), '42501');
  assert.strictEqual(await refused(client, 'SELECT 1'), '25P02');
  await client.query('ROLLBACK');
  await client.query('INSERT INTO pad (t) VALUES ($1)', ['node']);
  const many = await client.query('SELECT 1 AS a; SELECT 2 AS b');
  assert.deepStrictEqual(many.map((r) => r.rows.length), [1, 1]);
  await client.end();
  const pool = new Pool({ connectionString, max: 4 });
  const all = await Promise.all([...Array(20).keys()].map((n) => pool.query('SELECT $1::int AS n', [n])));
  assert.deepStrictEqual(all.map((r) => r.rows[0].n), [...Array(20).keys()]);
  await pool.end();
  console.log('conversation complete');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
