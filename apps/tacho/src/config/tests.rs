use super::values::identifiers;
use super::*;

const GOOD: &str = r#"
[gateway]
data = "./tacho-data"
console = "127.0.0.1:7070"
policy = "./policy"
approval_timeout = "90s"

[[resource]]
name = "crm"
kind = "postgres"
listen = "127.0.0.1:6432"
upstream = "postgres://app@db.internal:5432/crm"
credential = { env = "CRM_PASSWORD" }
reel = "head:64KiB"
vouch = ["public.slugify", "extension:citext"]

[[resource.mask]]
column = 'public.customers."SSN"'
class = "pii.ssn"

[[resource.mask]]
column = "public.customers.email"
class = "pii.email"
as = "partial:4"

[[human]]
name = "ada"
uid = 1000
groups = ["dba"]
"#;

fn parse(text: &str) -> Result<Config, Vec<String>> {
    Config::parse(Path::new("/srv/tacho.toml"), text.as_bytes()).map_err(|f| {
        assert_eq!(f.exit, Exit::Usage);
        f.lines
    })
}

/// `GOOD` with one text replaced must give exactly the named problems: (line, words in the message).
fn check(from: &str, to: &str, expect: &[(usize, &str)]) {
    assert!(GOOD.contains(from), "the good file has no {from:?}");
    let lines = match parse(&GOOD.replacen(from, to, 1)) {
        Ok(_) => panic!("{to:?} was accepted"),
        Err(lines) => lines,
    };
    assert_eq!(lines.len(), expect.len(), "{lines:#?}");
    for (line, (number, words)) in lines.iter().zip(expect) {
        assert!(line.starts_with(&format!("/srv/tacho.toml:{number}: ")), "line {number} in {line}");
        assert!(line.contains(words), "{words:?} in {line}");
    }
}

#[test]
fn a_good_file_resolves() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.gateway.data, Path::new("/srv/tacho-data"));
    assert_eq!(config.gateway.keys, Path::new("/srv/tacho-keys"));
    assert_eq!(config.gateway.control, Path::new("/srv/tacho-run/control.sock"));
    assert_eq!(config.gateway.approval_timeout, Duration::from_secs(90));
    assert_eq!(config.gateway.durability, Durability::Sync);
    let crm = &config.resources[0];
    let What::Postgres(database) = &crm.what else { panic!("crm is {:?}", crm.what) };
    assert_eq!(database.upstream.tls, Tls::VerifyFull);
    assert_eq!(crm.credential, Credential::Env("CRM_PASSWORD".to_owned()));
    assert_eq!(crm.reel, Reel::Head { bytes: 64 << 10 });
    assert_eq!(database.masks[0].column.column, "SSN");
    assert_eq!(database.masks[0].kind, MaskKind::RowToken);
    assert_eq!(database.masks[1].kind, MaskKind::Partial { keep: 4 });
    assert_eq!(config.human_by_uid(1000).unwrap().name, "ada");
}

/// An HTTP resource behind the good file.
const SERVICE: &str = r#"
[[resource]]
name = "billing"
kind = "http"
listen = "127.0.0.1:7443"
upstream = "https://api.billing.example/v2"
credential = { env = "BILLING_KEY" }
inject = "header:X-Key"
routes = ["GET /users/{id}", "/files/{path...}"]

[[resource.mask]]
path = "$..ssn"
class = "pii.ssn"
"#;

const WITNESS: &str = r#"
[[witness]]
url = "https://w.example/tacho"
key = "witness.example/w1+a8f00c17+BG6fQyvP8dEzsW3QEFbF6VPeRBdxOJiFkrXOOjSF1PQ9"
"#;

#[test]
fn a_witness_resolves_and_each_error_says_what_would_be_right() {
    let key = seal::note::Signer::from_seed("w1", seal::note::Algorithm::Cosignature, &[1; 32]).unwrap();
    let own = seal::note::Signer::from_seed("w1", seal::note::Algorithm::Ed25519, &[1; 32]).unwrap();
    let given = WITNESS.lines().find_map(|line| line.strip_prefix("key = ")).unwrap();
    let good = WITNESS.replace(given, &format!("\"{}\"", key.verifier_key()));
    let config = parse(&format!("{GOOD}{good}")).unwrap();
    assert_eq!(config.witnesses[0].url.address(), "https://w.example/tacho");
    assert_eq!(config.witness_keys(), [key.verifier_key().clone()]);
    let wrong = |text: &str, words: &str| {
        let lines = parse(&format!("{GOOD}{text}")).map(drop).unwrap_err();
        assert!(lines.len() == 1 && lines[0].contains(words), "{words:?} in {lines:#?}");
    };
    wrong(&good.replace("https://", "ftp://"), "https://");
    wrong(&good.replace("url = \"https://w.example/tacho\"", ""), "has no `url`");
    wrong(WITNESS, "tacho witness keygen");
    // A ledger's key signs no witness's statement.
    wrong(
        &good.replace(&key.verifier_key().to_string(), &own.verifier_key().to_string()),
        "tacho witness keygen",
    );
    wrong(&format!("{good}{good}"), "another witness has this key");
}

#[test]
fn an_http_service_resolves() {
    let config = parse(&format!("{GOOD}{SERVICE}")).unwrap();
    let What::Http(service) = &config.resources[1].what else { panic!("not a service") };
    assert_eq!(service.upstream.address(), "https://api.billing.example/v2");
    assert_eq!(service.inject, relay::config::Inject::Header("X-Key".to_owned()));
    let routes: Vec<String> = service.routes.iter().map(ToString::to_string).collect();
    assert_eq!(routes.len(), 2, "{routes:?}");
    assert_eq!((service.masks.len(), service.masks[0].rule.kind.clone()), (1, MaskKind::Redact));
}

#[test]
fn each_error_of_a_service_says_what_would_be_right() {
    let wrong = |from: &str, to: &str, words: &str| {
        assert!(SERVICE.contains(from), "the service has no {from:?}");
        let lines = parse(&format!("{GOOD}{}", SERVICE.replacen(from, to, 1))).map(drop).unwrap_err();
        assert!(lines.len() == 1 && lines[0].contains(words), "{words:?} in {lines:#?}");
    };
    wrong("https://api.billing.example/v2", "http://api.billing.example", "insecure = true");
    wrong("https://api.billing.example/v2", "postgres://a@b/c", "https://");
    wrong("header:X-Key", "cookie", "header:NAME");
    wrong("GET /users/{id}", "GET users", "begin with a slash");
    wrong("/files/{path...}", "GET /users/{name}", "placeholders");
    wrong("path = ", "column = ", "has a `path`");
    wrong("$..ssn", "..ssn", "path");
    wrong("class = \"pii.ssn\"", "class = \"pii.ssn\"\nas = \"row-token\"", "null, redact or partial");
    wrong("127.0.0.1:7443", "0.0.0.0:7443", "`tls`");
    wrong("inject = ", "read_only = true\ninject = ", "for kind postgres");
    wrong("inject = ", "prompts = \"mask\"\ninject = ", "for kind llm");
    wrong("kind = \"http\"", "kind = \"redis\"", "is planned");
}

#[test]
fn each_error_has_its_line_and_says_what_would_be_right() {
    check("data = \"./tacho-data\"", "dta = \"./tacho-data\"", &[(3, "did you mean `data`?")]);
    check("data = \"./tacho-data\"", "colour = 1", &[(3, "the keys here are data, keys")]);
    check("[gateway]", "[gatewai]", &[(1, "no [gateway]"), (2, "did you mean `gateway`?")]);
    check("\"127.0.0.1:7070\"", "\"localhost\"", &[(4, "IP:PORT")]);
    check("\"127.0.0.1:7070\"", "\"0.0.0.0:7070\"", &[(4, "loopback only")]);
    check("\"127.0.0.1:7070\"", "\"127.0.0.1:0\"", &[(4, "a port of its own")]);
    check("\"127.0.0.1:7070\"", "7070", &[(4, "integer; it has to be text in quotes")]);
    check("\"127.0.0.1:7070\"", "\"127.0.0.1:6432\"", &[(11, "the console listens on")]);
    check("\"90s\"", "\"soon\"", &[(6, "not a duration")]);
    check("\"90s\"", "\"2h\"", &[(6, "at most 3600s")]);
    check("\"90s\"", "\"0s\"", &[(6, "more than nothing")]);
    check("policy = \"./policy\"", "keys = \"./tacho-data/keys\"", &[(5, "`keys`")]);
    check("data = \"./tacho-data\"", "data = \".\"", &[(3, "one of its own")]);
    check("policy = \"./policy\"", "control = \"/tmp/tacho.sock\"", &[(5, "one of its own")]);
    check("policy = \"./policy\"", "durability = \"maybe\"", &[(5, "\"sync\"")]);
    check("policy = \"./policy\"", "auditors = [\"age1xyz\"]", &[(5, "tacho-auditor-")]);
    check("policy = \"./policy\"", "agent_user = \"root\"", &[(5, "agent_user is root")]);
    check("policy = \"./policy\"", "agent_user = 1000", &[(5, "human \"ada\"")]);
    check("policy = \"./policy\"", "agent_user = \"no-such-user-here\"", &[(5, "useradd")]);
    check("name = \"crm\"", "name = \"c r m\"", &[(9, "1 to 63")]);
    check("name = \"crm\"\n", "", &[(8, "has no `name`")]);
    check("kind = \"postgres\"", "kind = \"mysql\"", &[(10, "not in this version")]);
    check("kind = \"postgres\"", "kind = \"oracle\"", &[(10, "not known")]);
    check("postgres://app@db", "postgres://app:pw@db", &[(12, "credential = ")]);
    check("/crm\"", "/crm?sslmode=require\"", &[(12, "verify-full")]);
    check("{ env = \"CRM_PASSWORD\" }", "{ env = \"A\", file = \"B\" }", &[(13, "exactly one")]);
    check(
        "{ env = \"CRM_PASSWORD\" }",
        "{ password = \"x\" }",
        &[(13, "does not belong"), (13, "exactly one")],
    );
    check("{ env = \"CRM_PASSWORD\" }", "\"x\"", &[(13, "a table")]);
    check("\"head:64KiB\"", "\"tail\"", &[(14, "\"full\"")]);
    check("reel = \"head:64KiB\"", "tripwire = \"ignore\"", &[(14, "\"cut\"")]);
    check("\"public.slugify\"", "\"slugify\"", &[(15, "schema.function")]);
    check("'public.customers.\"SSN\"'", "'public.customers.SSN'", &[(18, "double quotes")]);
    check("\"public.customers.email\"", "\"customers.email\"", &[(22, "schema.table.column")]);
    check("\"public.customers.email\"", "'public.customers.\"SSN\"'", &[(22, "two masks")]);
    check("\"pii.ssn\"", "\"PII SSN\"", &[(19, "lower-case words")]);
    check("\"partial:4\"", "\"partial:99\"", &[(24, "1 to 8")]);
    check("\"partial:4\"", "\"token\"", &[(24, "not in this version; it is null, redact, row-token")]);
    check("\"partial:4\"", "\"bucket:0\"", &[(24, "bucket:WIDTH")]);
    check("uid = 1000", "uid = -5", &[(28, "out of range")]);
    check("groups = [\"dba\"]", "groups = [1]", &[(29, "list of texts")]);
    check("name = \"ada\"", "name = \"ada\"\nname = \"eve\"", &[(28, "duplicate key")]);
}

#[test]
fn a_signature_has_a_region_and_a_service() {
    let with =
        |lines: &str| parse(&format!("{GOOD}{}", SERVICE.replacen("inject = \"header:X-Key\"", lines, 1)));
    let config = with("inject = \"sigv4\"\nregion = \"eu-central-1\"\nservice = \"s3\"").unwrap();
    let What::Http(service) = &config.resources[1].what else { panic!("a service") };
    let expect = relay::config::Inject::SigV4 { region: "eu-central-1".to_owned(), service: "s3".to_owned() };
    assert_eq!(service.inject, expect);
    for lines in ["inject = \"sigv4\"", "inject = \"sigv4\"\nregion = \"a/b\"\nservice = \"s3\""] {
        let wrong = with(lines).unwrap_err();
        assert!(wrong.len() == 1 && wrong[0].contains("needs region"), "{wrong:#?}");
    }
}

#[test]
fn what_a_service_speaks_is_what_it_chooses_or_what_the_operator_knows() {
    use relay::config::Version;
    let with =
        |line: &str| parse(&format!("{GOOD}{}", SERVICE.replacen("inject = \"header:X-Key\"", line, 1)));
    for (line, version) in
        [("", Version::Offered), ("http = \"1.1\"", Version::One), ("http = \"2\"", Version::Two)]
    {
        let config = with(line).unwrap();
        let What::Http(service) = &config.resources[1].what else { panic!("a service") };
        assert_eq!(service.version, version, "{line}");
    }
    for line in ["http = \"3\"", "http = \"h2\"", "http = \"\""] {
        let wrong = with(line).unwrap_err();
        assert!(wrong.len() == 1 && wrong[0].contains("it is \"1.1\" or \"2\""), "{wrong:#?}");
    }
}

/// Resources behind a proxy and behind the good file; the proxy stands in line 3, the first of them begins in line 32.
fn proxied(resources: &[(&str, &str, &str)]) -> Result<Config, Vec<String>> {
    let mut text = GOOD.replacen("[gateway]\n", "[gateway]\nproxy = \"127.0.0.1:3128\"\n", 1);
    for (name, kind, upstream) in resources {
        text.push_str(&format!(
            "\n[[resource]]\nname = \"{name}\"\nkind = \"{kind}\"\nupstream = \"{upstream}\"\n"
        ));
    }
    parse(&text)
}

#[test]
fn behind_a_proxy_a_service_needs_no_listener() {
    let config = proxied(&[
        ("gpt", "llm", "https://api.openai.com/v1"),
        ("files", "mcp", "https://mcp.internal/mcp"),
        ("billing", "http", "https://api.openai.com"),
        ("beta", "http", "https://api.openai.com/v1beta"),
        ("plain", "http", "http://localhost:8080"),
    ]);
    let config = config.unwrap();
    assert_eq!(config.gateway.proxy, Some(([127, 0, 0, 1], 3128).into()));
    assert!(config.resources[1..].iter().all(|resource| resource.listen.is_none()));
    let lines = parse(&format!(
        "{GOOD}\n[[resource]]\nname = \"a\"\nkind = \"http\"\nupstream = \"https://a.example\"\n"
    ));
    let lines = lines.unwrap_err();
    assert!(lines[0].contains(":31: ") && lines[0].contains("proxy = \"127.0.0.1:3128\""), "{lines:#?}");
    let lines = proxied(&[("db", "postgres", "postgres://a@localhost/b")]).unwrap_err();
    assert!(lines.len() == 1 && lines[0].contains("`listen` is missing"), "{lines:#?}");
}

#[test]
fn what_the_proxy_could_not_tell_apart_is_an_error_in_its_line() {
    let one = ("a", "http", "https://api.example.com/v1");
    for other in ["https://API.example.com:443/v1/", "https://api.example.com/V1"] {
        let lines = proxied(&[one, ("b", "http", other)]).unwrap_err();
        assert!(
            lines.len() == 1 && lines[0].contains(":40: ") && lines[0].contains("has the same upstream"),
            "{lines:#?}"
        );
    }
    assert!(proxied(&[one, ("b", "http", "https://api.example.com:8443/v1")]).is_ok());
    let started = proxied(&[("notes", "mcp", "stdio:")]).unwrap_err();
    assert!(started.iter().any(|line| line.contains("`listen` is missing")), "{started:?}");
    for (upstream, words) in
        [("http://localhost:3128", "the gateway's own proxy"), ("http://127.0.0.1:8080", "write localhost")]
    {
        let lines = proxied(&[("a", "http", upstream)]).unwrap_err();
        assert!(lines.len() == 1 && lines[0].contains(":35: ") && lines[0].contains(words), "{lines:#?}");
    }
    for (proxy, words) in [
        ("0.0.0.0:3128", "loopback"),
        ("127.0.0.1:7070", "the console's address"),
        ("127.0.0.1:0", "a port of its own"),
        ("3128", "is not an address"),
    ] {
        check("[gateway]", &format!("[gateway]\nproxy = \"{proxy}\""), &[(3, words)]);
    }
    check("[gateway]", "[gateway]\nproxy = \"127.0.0.1:6432\"", &[(12, "the proxy listens on")]);
}

#[test]
fn names_addresses_and_uids_are_unique() {
    let second = "\n[[resource]]\nname = \"crm\"\nkind = \"postgres\"\nlisten = \"127.0.0.1:6432\"\n\
                  upstream = \"postgres://a@localhost/b\"\n[[human]]\nname = \"ada\"\nuid = 1000\n";
    let lines = parse(&format!("{GOOD}{second}")).unwrap_err();
    assert_eq!(lines.len(), 4, "{lines:#?}");
    assert!(lines[0].contains(":32: ") && lines[0].contains("another resource has this name"), "{lines:#?}");
    assert!(
        lines[1].contains(":34: ") && lines[1].contains("listens on 127.0.0.1:6432 already"),
        "{lines:#?}"
    );
    assert!(lines[2].contains("another human has this name"), "{lines:#?}");
    assert!(lines[3].contains("a uid is one person"), "{lines:#?}");
}

#[test]
fn all_errors_of_a_file_come_at_once_in_order_of_lines() {
    let text = "[gateway]\nconsole = 1\ndurability = \"x\"\n[[resource]]\nnmae = \"a\"\n[[human]]\n";
    let lines = parse(text).unwrap_err();
    let numbers: Vec<&str> = lines.iter().map(|l| l.split(':').nth(1).unwrap()).collect();
    assert_eq!(numbers, ["2", "3", "4", "4", "4", "4", "5", "6"], "{lines:#?}");
}

#[test]
fn a_file_that_is_not_toml_is_wrong_use() {
    let lines = parse("[gateway\ndata = \"x\"\nkeys = = 3\n").unwrap_err();
    assert!(lines.iter().any(|l| l.starts_with("/srv/tacho.toml:1: ")), "{lines:#?}");
    assert!(lines.iter().any(|l| l.starts_with("/srv/tacho.toml:3: ")), "{lines:#?}");
    let failure = Config::parse(Path::new("x"), b"\xff").unwrap_err();
    assert!(failure.lines[0].contains("UTF-8"));
    let failure = Config::parse(Path::new("x"), &vec![b'#'; CONFIG_BYTES_MAX + 1]).unwrap_err();
    assert!(failure.lines[0].contains("larger than"));
    assert!(
        Config::parse(Path::new("x"), &vec![b'#'; CONFIG_BYTES_MAX]).unwrap_err().lines[0]
            .contains("[gateway]")
    );
}

#[test]
fn identifiers_are_read_as_sql_reads_them() {
    let read = |text: &str| identifiers(text);
    assert_eq!(read(r#"a."b.c"."d""e""#).unwrap(), ["a", "b.c", "d\"e"]);
    for bad in ["", ".", "a.", "A.b", "\"a", "a b", "1a", "\"\"", "\"a\"b"] {
        assert_eq!(read(bad), None, "{bad}");
    }
}

#[test]
fn a_server_that_its_client_starts_has_no_address_and_no_credential() {
    let table = |rest: &str| {
        format!(
            "[gateway]\nauditors = []\n[[resource]]\nname = \"files\"\nkind = \"mcp\"\nlisten = \"127.0.0.1:1\"\n\
             upstream = \"stdio:\"\n{rest}\n"
        )
    };
    let config = parse(&table("shims = [\"mcp-server-filesystem\"]")).unwrap();
    let what = &config.resources[0].what;
    assert_eq!((what.kind(), what.address().as_str()), ("mcp", "stdio:"));
    assert_eq!(what.stdio().unwrap().shims, ["mcp-server-filesystem"]);
    for (rest, why) in [
        ("credential = { env = \"X\" }", "leave them out"),
        ("inject = \"basic\"", "`inject` means nothing"),
        ("shims = [\"a/b\"]", "not the name of a program"),
        ("shims = [\"$(x)\"]", "not the name of a program"),
    ] {
        let lines = parse(&table(rest)).unwrap_err();
        assert!(lines.iter().any(|line| line.contains(why)), "{rest}: {lines:#?}");
    }
    let elsewhere = table("shims = [\"a\"]").replace("stdio:", "https://mcp.internal/mcp");
    assert!(parse(&elsewhere).unwrap_err().iter().any(|line| line.contains("write upstream = \"stdio:\"")));
}

/// A host behind the good file.
fn host(lines: &str) -> String {
    format!(
        "{GOOD}\n[[resource]]\nname = \"build\"\nkind = \"ssh\"\nlisten = \"127.0.0.1:6022\"\n\
         upstream = \"ssh://deploy@build.internal\"\ncredential = {{ file = \"id\" }}\n{lines}\n"
    )
}

#[test]
fn a_host_has_a_user_and_pinned_keys() {
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
    let config = parse(&host(&format!("host_key = \"{KEY}\""))).unwrap();
    let What::Ssh(build) = &config.resources[1].what else { panic!("a host") };
    assert_eq!((build.user.as_str(), build.port, build.password), ("deploy", 22, false));
    assert!(matches!(build.keys, HostKeys::Here(_)));
    assert_eq!(config.resources[1].what.address(), "ssh://deploy@build.internal:22");
    let config = parse(&host("known_hosts = \"known\"")).unwrap();
    let What::Ssh(build) = &config.resources[1].what else { panic!("a host") };
    assert_eq!(build.keys, HostKeys::KnownHosts("/srv/known".into()));
    for (lines, words) in [
        ("host_key = \"ssh-ed25519 nothing\"", "host_key: "),
        ("host_key = \"x\"\nknown_hosts = \"y\"", "keep one"),
        ("vouch = [\"a.b\"]", "`vouch` is for kind postgres"),
        ("[[resource.mask]]\npath = \"$..x\"\nclass = \"pii.x\"", "no columns and no paths"),
    ] {
        let wrong = parse(&host(lines)).unwrap_err();
        assert!(wrong.iter().any(|line| line.contains(words)), "{words} in {wrong:?}");
    }
    let wrong =
        parse(&host("").replace("{ file = \"id\" }", "{ file = \"id\", kind = \"token\" }")).unwrap_err();
    assert!(wrong[0].contains("no kind of credential"), "{wrong:?}");
    let wrong = parse(&GOOD.replace("\"CRM_PASSWORD\" }", "\"CRM_PASSWORD\", kind = \"key\" }")).unwrap_err();
    assert!(wrong[0].contains("for kind ssh"), "{wrong:?}");
}

const CLUSTER: &str = r#"
[[resource]]
name = "prod"
kind = "kubernetes"
listen = "127.0.0.1:7446"
upstream = "https://api.internal:6443"
ca = "ca.crt"
credential = { env = "KUBE_TOKEN" }
impersonate = { user = "agents", groups = ["a", "b"] }

[[resource.mask]]
class = "config.env"

[[resource.mask]]
path = "$..spec.password"
class = "secret.custom"
"#;

#[test]
fn a_cluster_resolves_and_each_error_says_what_would_be_right() {
    let config = parse(&format!("{GOOD}{CLUSTER}")).unwrap();
    let resource = &config.resources[1];
    let What::Http(service) = &resource.what else { panic!("not a service") };
    let cluster = service.cluster.as_ref().unwrap();
    assert_eq!((resource.what.kind(), service.masks.len(), cluster.also.len()), ("kubernetes", 1, 1));
    assert_eq!(cluster.impersonate.as_ref().map(|as_whom| as_whom.groups.len()), Some(2));
    let wrong = |from: &str, to: &str, words: &str| {
        assert!(CLUSTER.contains(from), "the cluster has no {from:?}");
        let lines = parse(&format!("{GOOD}{}", CLUSTER.replacen(from, to, 1))).map(drop).unwrap_err();
        assert!(lines.len() == 1 && lines[0].contains(words), "{words:?} in {lines:#?}");
    };
    wrong("class = \"config.env\"", "class = \"pii.ssn\"", "config.kubernetes");
    wrong("class = \"config.env\"", "class = \"config.env\"\nas = \"null\"", "goes with a `path`");
    wrong("user = \"agents\"", "user = \"two words\"", "without blanks");
    wrong("user = \"agents\", ", "", "has no `user`");
    wrong("ca = ", "context = \"x\"\nca = ", "kubeconfig:FILE");
    wrong("ca = ", "routes = [\"/x\"]\nca = ", "for kind http");
    wrong("127.0.0.1:7446", "0.0.0.0:7446", "names this machine alone");
    wrong("listen = \"127.0.0.1:7446\"\n", "", "`listen` is missing");
    wrong("https://api.internal:6443", "http://api.internal:6443", "https://");
}

#[test]
fn a_kubeconfig_says_who_the_gateway_is_and_nothing_beside_it_does() {
    let own = "ca = \"ca.crt\"\ncredential = { env = \"KUBE_TOKEN\" }\n";
    let named = CLUSTER.replace("https://api.internal:6443", "kubeconfig:prod.yaml");
    let plain = named.replace(own, "context = \"blue\"\n");
    let config = parse(&format!("{GOOD}{plain}")).unwrap();
    assert!(config.resources[1].what.address().ends_with("prod.yaml (context blue)"));
    let in_cluster = plain.replace("kubeconfig:prod.yaml", "in-cluster:").replace("context = \"blue\"\n", "");
    let config = parse(&format!("{GOOD}{in_cluster}")).unwrap();
    assert_eq!(config.resources[1].what.address(), "in-cluster:");
    let lines = parse(&format!("{GOOD}{named}")).map(drop).unwrap_err();
    assert!(lines.len() == 2, "ca and credential: {lines:#?}");
    let empty = plain.replace("kubeconfig:prod.yaml", "kubeconfig:");
    assert!(parse(&format!("{GOOD}{empty}")).is_err());
}
