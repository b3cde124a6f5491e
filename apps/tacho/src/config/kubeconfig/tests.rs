//! Kubeconfigs as tools write them, and as they must not be.

use super::*;

/// A folder of its own, which is removed when the test ends well.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("tacho-kubeconfig-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

const PEM: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";

/// One context with this cluster and this user, each in YAML's flow style.
fn config(cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\npreferences: {{}}\ncurrent-context: k\n\
         clusters:\n- {{name: c, cluster: {cluster}}}\nusers:\n- {{name: u, user: {user}}}\n\
         contexts:\n- name: k\n  context: {{cluster: c, user: u, namespace: shop}}\n"
    )
}

fn of(name: &str, text: &str) -> Result<Cluster, Vec<String>> {
    let folder = Folder::new(name);
    read(&folder.file("config", text), None)
}

/// All that is wrong, without the file's name.
fn wrong(name: &str, text: &str) -> String {
    let wrong = of(name, text).expect_err(text);
    let of_it: Vec<&str> =
        wrong.iter().map(|why| why.split_once("/config:").unwrap().1.trim_start()).collect();
    of_it.join(" | ")
}

const SERVER: &str = "{server: 'https://api.example:6443'}";
const TOKEN: &str = "{token: t}";

#[test]
fn a_token_and_an_authority_that_is_inline() {
    let authority = STANDARD.encode(PEM);
    let cluster = format!(
        "{{server: 'https://10.0.0.1:6443/k8s/c1', tls-server-name: api.example, certificate-authority-data: {authority}}}"
    );
    let read = of("inline", &config(&cluster, "{token: canary}")).unwrap();
    assert_eq!(read.server.address(), "https://10.0.0.1:6443/k8s/c1");
    assert_eq!(
        (read.server.host.as_str(), read.server.port, read.server.base.as_str()),
        ("10.0.0.1", 6443, "/k8s/c1")
    );
    assert_eq!(read.namespace.as_deref(), Some("shop"));
    assert!(!format!("{read:?}").contains("canary"), "{read:?}");
    let UpstreamTls::VerifyFull { roots: Some(roots @ Pem::Held { .. }), name } = read.tls() else {
        panic!()
    };
    assert_eq!(name.as_deref(), Some("api.example"));
    assert!(roots.to_string().starts_with("certificate-authority-data of cluster \"c\" in /"), "{roots}");
    assert!(matches!(read.login.into_vault(), (Vault::Held(_), None)));
}

#[test]
fn paths_are_relative_to_the_folder_of_the_kubeconfig() {
    let folder = Folder::new("paths");
    let cluster = "{server: 'https://localhost', certificate-authority: pki/ca.crt}";
    let at = folder.file("config", &config(cluster, "{client-certificate: u.crt, client-key: /keys/u.key}"));
    let read_it = read(&at, None).unwrap();
    assert_eq!(read_it.authority.unwrap().to_string(), folder.0.join("pki/ca.crt").display().to_string());
    let (Vault::None, Some((cert, key))) = read_it.login.into_vault() else { panic!() };
    assert_eq!(cert.to_string(), folder.0.join("u.crt").display().to_string());
    assert_eq!(key.to_string(), "/keys/u.key");
    let at = folder.file("config", &config(SERVER, "{tokenFile: token}"));
    let (Vault::File(token), None) = read(&at, None).unwrap().login.into_vault() else { panic!() };
    assert_eq!(token, folder.0.join("token"));
    let program = |command: &str| {
        let exec = format!("{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: {command}}}}}");
        match read(&folder.file("config", &config(SERVER, &exec)), None).unwrap().login {
            Login::Exec(exec) => exec.program(),
            _ => panic!(),
        }
    };
    assert_eq!(program("aws"), "aws");
    assert_eq!(program("./bin/aws"), folder.0.join("./bin/aws").display().to_string());
    assert_eq!(program("/bin/aws"), "/bin/aws");
}

#[test]
fn a_certificate_may_be_inline_and_its_lines_broken() {
    let certificate = STANDARD.encode(PEM);
    let (half, rest) = certificate.split_at(20);
    let user = format!(
        "{{client-certificate-data: \"{half}\\n{rest}\", client-key-data: {}}}",
        STANDARD.encode(PEM)
    );
    let (Vault::None, Some((Pem::Held { .. }, key @ Pem::Held { .. }))) =
        of("certificate", &config(SERVER, &user)).unwrap().login.into_vault()
    else {
        panic!()
    };
    assert!(key.to_string().starts_with("client-key-data of user \"u\""), "{key}");
}

/// As `aws eks update-kubeconfig` and `gcloud` write it.
#[tokio::test]
async fn a_plugin_is_read_with_its_words_and_what_it_is_told() {
    let user = "
      exec:
        apiVersion: client.authentication.k8s.io/v1beta1
        command: sh
        args:
        - -c
        - 'printf \"{\\\"kind\\\":\\\"ExecCredential\\\",\\\"apiVersion\\\":\\\"client.authentication.k8s.io/v1beta1\\\",\\\"status\\\":{\\\"token\\\":\\\"$PROFILE\\\"}}\"'
        env:
        - name: PROFILE
          value: shop
        installHint: Install it.
        interactiveMode: IfAvailable
        provideClusterInfo: true
";
    let cluster = format!(
        "{{server: 'https://api.example', certificate-authority-data: {}, extensions: [{{name: other, extension: x}}, \
         {{name: client.authentication.k8s.io/exec, extension: {{audience: a}}}}]}}",
        STANDARD.encode(PEM)
    );
    let text = config(&cluster, "REPLACED")
        .replace("- {name: u, user: REPLACED}", &format!("- name: u\n  user:{user}"));
    let (vault @ Vault::Exec(_), None) = of("exec", &text).unwrap().login.into_vault() else { panic!() };
    assert!(vault.fetch().await.is_ok_and(|token| token.is_some()));
    let Vault::Exec(exec) = vault else { panic!() };
    let told = format!(
        "{{\"server\":\"https://api.example\",\"certificate-authority-data\":\"{}\",\"config\":{{\"audience\":\"a\"}}}}",
        STANDARD.encode(PEM)
    );
    assert_eq!(exec.cluster(), Some(told.as_str()));
    for no in ["", "env: null, args: null, provideClusterInfo: false, interactiveMode: Never, "] {
        let user = format!("{{exec: {{{no}apiVersion: client.authentication.k8s.io/v1, command: gke}}}}");
        let Login::Exec(exec) = of("exec-null", &config(SERVER, &user)).unwrap().login else { panic!() };
        assert_eq!(exec.cluster(), None);
    }
}

#[test]
fn another_context_may_be_named_and_what_the_others_say_does_not_matter() {
    let folder = Folder::new("contexts");
    let text = "
apiVersion: v1
kind: Config
current-context: prod
clusters:
- {name: prod, cluster: {server: 'https://prod.example', insecure-skip-tls-verify: true}}
- name: kind
  cluster:
    server: http://127.0.0.1:8001
users:
- name: prod
  user: {username: a, password: b}
- name: kind
  user: {token: t, password: \"\", as: \"\", as-groups: [], auth-provider: null}
contexts:
- {name: prod, context: {cluster: prod, user: prod}}
- {name: kind, context: {cluster: kind, user: kind}}
";
    let at = folder.file("config", text);
    let kind = read(&at, Some("kind")).unwrap();
    assert_eq!((kind.server.address().as_str(), kind.namespace.as_deref()), ("http://127.0.0.1:8001", None));
    assert!(matches!(kind.tls(), UpstreamTls::Disable));
    // All that is wrong is said at once.
    assert_eq!(read(&at, None).unwrap_err().len(), 3);
    let why = read(&at, Some("dev")).unwrap_err();
    assert_eq!(why.len(), 1);
    assert!(why[0].ends_with("it has no context \"dev\"; its contexts are \"prod\", \"kind\""), "{why:?}");
}

/// A cluster, a user, and what is said of them.
#[test]
fn what_is_refused_says_why_and_what_to_do() {
    let cases = [
        (
            "{server: 'https://a', insecure-skip-tls-verify: true}",
            TOKEN,
            "would talk to whoever answers; take it away",
        ),
        ("{server: 'https://a', proxy-url: 'http://p'}", TOKEN, "is a way that this gateway does not take"),
        ("{server: 'http://a'}", TOKEN, "http:// would talk to another machine"),
        ("{server: 'a:6443'}", TOKEN, "it has to begin with https://"),
        ("{server: 'https://u:p@a'}", TOKEN, "it holds a user or password"),
        ("{}", TOKEN, "it has no server; write one"),
        ("null", TOKEN, "cluster \"c\" is empty"),
        ("{server: 'https://a', tls-server-name: 'a b'}", TOKEN, "its tls-server-name is no name"),
        (
            "{server: 'https://a', certificate-authority-data: AAAA}",
            TOKEN,
            "is no PEM in base64; write it anew",
        ),
        (
            "{server: 'https://a', certificate-authority-data: '*'}",
            TOKEN,
            "is no PEM in base64; write it anew",
        ),
        (
            "{server: 'https://a', certificate-authority: f, certificate-authority-data: AAAA}",
            TOKEN,
            "it has certificate-authority and certificate-authority-data; keep one",
        ),
        ("{server: 'https://a', tls-servername: b}", TOKEN, "did you mean tls-server-name?"),
        (
            "{server: 'https://a', colour: blue}",
            TOKEN,
            "\"colour\" is no field that is known here; take it away",
        ),
        ("{server: [a]}", TOKEN, "server: a value is not the text"),
        (SERVER, "{}", "it has no login; write token"),
        (SERVER, "{token: ''}", "it has no login; write token"),
        (SERVER, "{token: 'canary\ttab'}", "its token is none that a header can hold"),
        (SERVER, "{token: t, tokenFile: f}", "it has several logins (token, tokenFile); keep one"),
        (
            SERVER,
            "{token: t, client-certificate: a, client-key: b}",
            "it has several logins (token, client-certificate); keep one",
        ),
        (SERVER, "{client-certificate: a}", "client-certificate and client-key go together; write both"),
        (SERVER, "{client-key: a}", "client-certificate and client-key go together; write both"),
        (SERVER, "{username: canary}", "username is a login that API servers no longer have"),
        (SERVER, "{token: t, password: canary}", "password is a login that API servers no longer have"),
        (SERVER, "{auth-provider: {name: gcp}}", "auth-provider is gone from client-go; use the exec plugin"),
        (SERVER, "{token: t, as: admin}", "as is not taken"),
        (SERVER, "{token: t, as-groups: [a]}", "as-groups is not taken"),
        (SERVER, "{token: t, as-user-extra: {a: [b]}}", "as-user-extra is not taken"),
        (SERVER, "{exec: {command: a}}", "exec: it has no apiVersion"),
        (SERVER, "{exec: {command: a, apiVersion: client.authentication.k8s.io/v1alpha1}}", "nor v1beta1"),
        (SERVER, "{exec: {apiVersion: client.authentication.k8s.io/v1}}", "exec: it has no command"),
        (
            SERVER,
            "{exec: {command: a, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Always}}",
            "the gateway has nobody at a terminal",
        ),
        (
            SERVER,
            "{exec: {command: a, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Often}}",
            "is not one of Never, IfAvailable, Always",
        ),
        (
            SERVER,
            "{exec: {command: a, apiVersion: client.authentication.k8s.io/v1, args: [1]}}",
            "not the text",
        ),
        (
            SERVER,
            "{exec: {command: a, apiVersion: client.authentication.k8s.io/v1, env: [{name: 'A=B', value: canary}]}}",
            "a name or value of its env",
        ),
        (
            "{server: 'https://a', certificate-authority: gone.crt}",
            "{exec: {command: a, apiVersion: client.authentication.k8s.io/v1, provideClusterInfo: true}}",
            "exec: cannot read",
        ),
    ];
    for (cluster, user, expected) in cases {
        let why = wrong("refused", &config(cluster, user));
        assert!(why.contains(expected), "{cluster} {user}: {why}");
        assert!(!why.contains("canary") && !why.contains(" | "), "{cluster} {user}: {why}");
    }
    let case = wrong("case", &config("{server: 'https://a', Server: 'https://b'}", TOKEN));
    assert!(case.contains("\"Server\" is no field that is known here; did you mean server?"), "{case}");
    let all = wrong("all", &config("{server: 'http://a', proxy-url: p}", "{username: a, password: b}"));
    assert_eq!(all.split(" | ").count(), 4, "{all}");
}

#[test]
fn the_file_is_read_strictly() {
    let good = config(SERVER, TOKEN);
    let cases = [
        (good.replace("kind: Config", "kind: Pod"), "its kind is not Config"),
        (good.replace("apiVersion: v1", "apiVersion: v2"), "its apiVersion is not v1"),
        (
            good.replace("current-context: k", "current-context: \"\""),
            "it has no current-context; name the context",
        ),
        (
            good.replace("current-context: k", "current-context: other"),
            "it has no context \"other\"; its contexts are \"k\"",
        ),
        (
            good.replace("clusters:\n", "clusters:\n- {name: c, cluster: {}}\n"),
            "it has cluster \"c\" twice; keep one",
        ),
        (good.replace("user: u,", "user: v,"), "it has no user \"v\"; its users are \"u\""),
        (good.replace("user: u, ", ""), "context \"k\": it has no user; write one"),
        (good.replace("namespace: shop", "namespace: Shop"), "its namespace is none"),
        (good.replace("preferences: {}", "preference: {}"), "did you mean preferences?"),
        (good.replace("token: t", "token: yes"), "put it in quotes"),
        (good.replace("token: t", "token: &t x"), "an anchor or an alias"),
        (format!("{good}---\n{good}"), "more than one document"),
        (format!("{good}kind: Config\n"), "says a name twice"),
        ("[]\n".to_owned(), "not the object"),
    ];
    for (text, expected) in cases {
        let why = wrong("strict", &text);
        assert!(why.contains(expected), "{text}: {why}");
    }
    // What the reader of YAML refuses has its line.
    assert!(wrong("line", &good.replace("token: t", "token: yes")).starts_with("8: "));
    assert!(of("json", r#"{"current-context":"k","contexts":[{"name":"k","context":{"cluster":"c","user":"u"}}],"clusters":[{"name":"c","cluster":{"server":"https://a"}}],"users":[{"name":"u","user":{"token":"t"}}]}"#).is_ok());
}

#[test]
fn one_file_is_read_and_no_list_of_files() {
    let why = read(Path::new("/nowhere/one:/nowhere/two"), None).unwrap_err();
    assert_eq!(why.len(), 1);
    assert!(why[0].contains("names several files, which kubectl merges"), "{why:?}");
    assert!(
        read(Path::new("/nowhere/one"), None).unwrap_err()[0]
            .starts_with("cannot read the kubeconfig /nowhere/one")
    );
    let folder = Folder::new("large");
    let good = config(SERVER, TOKEN);
    let sized = |bytes: usize| format!("{good}#{}\n", "x".repeat(bytes - good.len() - 2));
    let most = usize::try_from(KUBECONFIG_BYTES_MAX).unwrap();
    assert!(read(&folder.file("most", &sized(most)), None).is_ok());
    let why = read(&folder.file("more", &sized(most + 1)), None).unwrap_err();
    assert!(why[0].contains("is larger than 1048576 bytes"), "{why:?}");
}

#[test]
fn a_pod_has_its_service_account() {
    let folder = Folder::new("pod");
    let some = |text: &str| Some(OsString::from(text));
    let why = pod(None, None, &folder.0).unwrap_err();
    assert_eq!(why.len(), 3, "{why:?}");
    let here = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() && Path::new(ACCOUNT).is_dir();
    assert_eq!(in_cluster().is_ok(), here);
    folder.file("token", "t");
    folder.file("ca.crt", PEM);
    let read = pod(some("10.96.0.1"), some("443"), &folder.0).unwrap();
    assert_eq!((read.server.address().as_str(), read.namespace), ("https://10.96.0.1", None));
    assert_eq!(read.authority.unwrap().to_string(), folder.0.join("ca.crt").display().to_string());
    let (Vault::File(token), None) = read.login.into_vault() else { panic!() };
    assert_eq!(token, folder.0.join("token"));
    folder.file("namespace", "shop\n");
    let read = pod(some("fd00::1"), some("6443"), &folder.0).unwrap();
    assert_eq!(
        (read.server.address().as_str(), read.namespace.as_deref()),
        ("https://[fd00::1]:6443", Some("shop"))
    );
    for (host, port) in [("", "443"), ("10.96.0.1", ""), ("10.96.0.1", "x"), ("a/b", "443")] {
        assert_eq!(pod(some(host), some(port), &folder.0).unwrap_err().len(), 1, "{host} {port}");
    }
}
