//! Credential plugins of client-go: a program that prints a token and until when it is good.
//!
//! Spec: `ExecCredential` of client.authentication.k8s.io/v1 and v1beta1. **Refused**: v1alpha1; client certificates
//! (`clientCertificateData`), since a credential of the vault is shown behind TLS; a plugin that has to ask a person, since there is
//! none: it is told so (`interactive: false`), and has no standard input.
//!
//! A token is kept in memory, as the design's passwords are for a login: a plugin takes a second, and each connection of an agent
//! asks for its token. It is asked for anew a minute before it is over, and after ten minutes in any case: nobody tells the vault
//! that a token was withdrawn.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use json::Object;
use tokio::process::Command;
use tokio::sync::Mutex;
use vocab::{Tick, WallTime};

use super::{Secret, output};
use crate::entropy;

/// What a plugin may print, in bytes. Tokens of clouds have 1 to 4 KiB.
const PRINTED_BYTES_MAX: usize = 64 << 10;
/// Longest token, in bytes: servers take 8 to 64 KiB of headers.
const TOKEN_BYTES_MAX: usize = 16 << 10;
/// So long before its end a token is asked for anew.
const MARGIN: Duration = Duration::from_secs(60);
/// A token is kept for no longer, whatever is said of its end.
const KEPT_MAX: Duration = Duration::from_secs(600);
/// After a plugin has failed it is not run again for so long: each connection would.
const PAUSE: Duration = Duration::from_secs(2);

/// Which edition of the protocol a plugin speaks; it has to answer in the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edition {
    V1,
    V1Beta1,
}

/// A plugin as it is configured.
pub struct Plugin {
    /// A name that is looked for in `PATH`, or a path.
    pub program: PathBuf,
    pub arguments: Vec<String>,
    /// Beside the gateway's own environment. May hold secrets.
    pub environment: Vec<(String, String)>,
    pub edition: Edition,
    /// `spec.cluster` as a JSON object, for a plugin that wants to know the cluster.
    pub cluster: Option<String>,
}

/// A plugin, and the token that it gave last.
#[derive(Clone)]
pub struct Exec {
    plugin: Arc<Plugin>,
    kept: Arc<Mutex<Kept>>,
}

enum Kept {
    Nothing,
    /// `until` is by the clock on the wall, as its end is, and `most` by the one that nobody sets.
    Token {
        token: Secret,
        until: Option<WallTime>,
        most: Tick,
    },
    Failed {
        why: String,
        until: Tick,
    },
}

/// What a plugin printed.
struct Given {
    token: Secret,
    /// When it is over.
    ends: Option<WallTime>,
}

impl Edition {
    pub fn parse(version: &str) -> Option<Edition> {
        [Edition::V1, Edition::V1Beta1].into_iter().find(|edition| edition.as_str() == version)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Edition::V1 => "client.authentication.k8s.io/v1",
            Edition::V1Beta1 => "client.authentication.k8s.io/v1beta1",
        }
    }
}

impl Plugin {
    /// `KUBERNETES_EXEC_INFO`.
    fn info(&self) -> String {
        let cluster =
            self.cluster.as_ref().map(|cluster| format!("\"cluster\":{cluster},")).unwrap_or_default();
        format!(
            "{{\"kind\":\"ExecCredential\",\"apiVersion\":\"{}\",\"spec\":{{{cluster}\"interactive\":false}}}}",
            self.edition.as_str()
        )
    }

    async fn run(&self) -> Result<Given, String> {
        let shown = format!("credential plugin `{}`", self.program.display());
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env("KUBERNETES_EXEC_INFO", self.info());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let printed = output(&mut command, &shown, PRINTED_BYTES_MAX).await?;
        let given = read(printed.expose(), self.edition).map_err(|why| format!("the {shown} {why}"))?;
        match given.ends {
            Some(ends) if ends <= entropy::wall() => {
                Err(format!("the {shown} gave a token that is over already"))
            }
            _ => Ok(given),
        }
    }
}

impl Exec {
    pub fn new(plugin: Plugin) -> Exec {
        Exec { plugin: Arc::new(plugin), kept: Arc::new(Mutex::new(Kept::Nothing)) }
    }

    /// The program, for people.
    pub fn program(&self) -> String {
        self.plugin.program.display().to_string()
    }

    /// What it is told of its cluster, in JSON.
    pub fn cluster(&self) -> Option<&str> {
        self.plugin.cluster.as_deref()
    }

    /// A token that is good now. The plugin runs for one at a time; who waits for it gets what it gave.
    /// Errors: sentences for the operator without anything that the plugin printed.
    pub(super) async fn token(&self) -> Result<Secret, String> {
        let mut kept = self.kept.lock().await;
        let (wall, tick) = (entropy::wall(), entropy::tick());
        match &*kept {
            Kept::Token { token, until, most } if tick < *most && until.is_none_or(|until| wall < until) => {
                return Ok(Secret::new(token.expose().to_vec()));
            }
            Kept::Failed { why, until } if tick < *until => return Err(why.clone()),
            Kept::Nothing | Kept::Token { .. } | Kept::Failed { .. } => {}
        }
        match self.plugin.run().await {
            Ok(given) => {
                let token = Secret::new(given.token.expose().to_vec());
                let (until, most) = (given.ends.map(before), later(entropy::tick(), KEPT_MAX));
                *kept = Kept::Token { token: given.token, until, most };
                Ok(token)
            }
            Err(why) => {
                *kept = Kept::Failed { why: why.clone(), until: later(entropy::tick(), PAUSE) };
                Err(why)
            }
        }
    }
}

/// Arguments and environment may be secrets.
impl fmt::Debug for Exec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exec({}, {})", self.program(), self.plugin.edition.as_str())
    }
}

/// A token that ends within the margin is used once.
fn before(ends: WallTime) -> WallTime {
    WallTime(ends.0.saturating_sub(nanos(MARGIN)))
}

fn later(tick: Tick, by: Duration) -> Tick {
    Tick(tick.0.saturating_add(nanos(by)))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Reads an `ExecCredential`. Errors: what the plugin did, to be put behind its name.
fn read(printed: &[u8], edition: Edition) -> Result<Given, String> {
    let none = |why: json::Unreadable| format!("printed no ExecCredential: {}", why.0);
    let value = json::parse(printed).map_err(none)?;
    let top = value.object().map_err(none)?;
    let is = |name: &str, expected: &str| top.text(name).map(|text| text == Some(expected)).map_err(none);
    if !is("kind", "ExecCredential")? || !is("apiVersion", edition.as_str())? {
        return Err(format!("printed something else than an ExecCredential of {}", edition.as_str()));
    }
    let status = top.object("status").map_err(none)?.ok_or("printed an ExecCredential without a `status`")?;
    let some =
        |name: &str| status.text(name).map(|text| text.is_some_and(|text| !text.is_empty())).map_err(none);
    if some("clientCertificateData")? || some("clientKeyData")? {
        return Err("gives a client certificate, which this gateway takes as files alone: write client-certificate and \
                    client-key, or use a plugin that gives a token"
            .to_owned());
    }
    let token = token(status)?;
    let ends = match status.text("expirationTimestamp").map_err(none)? {
        None => None,
        Some(text) => Some(time(text).ok_or("gives an expirationTimestamp that is no time (RFC 3339)")?),
    };
    Ok(Given { token, ends })
}

/// What fits into a header.
fn token(status: Object<'_, '_>) -> Result<Secret, String> {
    let token = status.text("token").map_err(|why| format!("printed no ExecCredential: {}", why.0))?;
    let token = token.filter(|token| !token.is_empty()).ok_or("gives no token")?;
    match token.len() <= TOKEN_BYTES_MAX && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(Secret::new(token.as_bytes().to_vec())),
        false => Err("gives a token that no header can hold".to_owned()),
    }
}

/// RFC 3339, in whole seconds; of a leap second the one before, and of what is behind 2554, where nanoseconds end, that. `None`: it
/// is none, or before 1970.
fn time(text: &str) -> Option<WallTime> {
    let (date, rest) = text.split_at_checked(10)?;
    let rest = rest.strip_prefix(['T', 't'])?;
    let (clock, rest) = rest.split_at_checked(8)?;
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let days = [31, if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) { 29 } else { 28 }];
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => days[0],
        2 => days[1],
        4 | 6 | 9 | 11 => 30,
        _ => return None,
    };
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Hinnant, "chrono-compatible low-level date algorithms": years begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let since =
        era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * month + 2) / 5 + day - 1 - 719_468;
    let seconds = since * 86_400 + hour * 3_600 + minute * 60 + second.min(59) - offset(zone)?;
    u64::try_from(seconds).ok().map(|seconds| WallTime(seconds.saturating_mul(1_000_000_000)))
}

/// Seconds east of Greenwich.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let (sign, rest) = zone.split_at_checked(1)?;
    let [hours, minutes] = numbers(rest, ':', [2, 2])?;
    let seconds = hours * 3_600 + minutes * 60;
    match sign {
        _ if hours > 23 || minutes > 59 => None,
        "+" => Some(seconds),
        "-" => Some(-seconds),
        _ => None,
    }
}

/// Numbers of so many digits, with a mark between them.
fn numbers<const N: usize>(text: &str, mark: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(mark);
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next()?;
        let all = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        *number = if all { part.parse().ok()? } else { return None };
    }
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::vault::Vault;
    use std::path::Path;

    const HEAD: &str = r#""kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1""#;

    fn given(status: &str) -> Result<(Vec<u8>, Option<WallTime>), String> {
        let printed = format!("{{{HEAD},\"spec\":{{}},\"status\":{status}}}\n");
        read(printed.as_bytes(), Edition::V1).map(|given| (given.token.expose().to_vec(), given.ends))
    }

    #[test]
    fn a_plugin_gives_a_token_and_nothing_else() {
        assert_eq!(given(r#"{"token":"t.o-k_e~n+/="}"#), Ok((b"t.o-k_e~n+/=".to_vec(), None)));
        let ends = Some(WallTime(1_700_000_000_000_000_000));
        assert_eq!(
            given(r#"{"token":"t","expirationTimestamp":"2023-11-14T22:13:20Z","clientKeyData":""}"#),
            Ok((b"t".to_vec(), ends))
        );
        let bad = [
            ("{}", "gives no token"),
            (r#"{"token":""}"#, "gives no token"),
            (r#"{"token":5}"#, "printed no ExecCredential"),
            (r#"{"Token":"t"}"#, "printed no ExecCredential"),
            (r#"{"token":"t","token":"u"}"#, "printed no ExecCredential"),
            (r#"{"token":"a b"}"#, "no header"),
            (r#"{"token":"a\r\nb"}"#, "no header"),
            ("null", "without a `status`"),
            (r#"{"token":"t","expirationTimestamp":"soon"}"#, "no time"),
            (r#"{"token":"t","clientCertificateData":"PEM"}"#, "client certificate"),
            (r#"{"clientCertificateData":"PEM","clientKeyData":"PEM"}"#, "client certificate"),
        ];
        for (status, expected) in bad {
            let why = given(status).unwrap_err();
            assert!(why.contains(expected), "{status}: {why}");
        }
        let long = |n: usize| given(&format!(r#"{{"token":"{}"}}"#, "t".repeat(n))).is_ok();
        assert!(long(TOKEN_BYTES_MAX) && !long(TOKEN_BYTES_MAX + 1));
        let text = format!("{{{HEAD},\"status\":{{\"token\":\"t\"}}}}");
        assert!(read(text.as_bytes(), Edition::V1).is_ok());
        assert!(read(text.as_bytes(), Edition::V1Beta1).is_err(), "an answer in another edition");
        assert!(read(text.replace("ExecCredential", "Secret").as_bytes(), Edition::V1).is_err());
        assert!(read(b"token", Edition::V1).is_err());
    }

    #[test]
    fn times_are_those_of_rfc_3339() {
        let good = [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2023-11-14T22:13:20.999999999Z", 1_700_000_000),
            ("2023-11-15T00:13:20+02:00", 1_700_000_000),
            ("2023-11-14t14:43:20-07:30", 1_700_000_000),
            ("2016-12-31T23:59:60Z", 1_483_228_799),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ];
        assert_eq!(time("9999-12-31T23:59:59Z"), Some(WallTime(u64::MAX)));
        for (text, seconds) in good {
            assert_eq!(time(text), Some(WallTime(seconds * 1_000_000_000)), "{text}");
        }
        for text in [
            "",
            "2023-11-14",
            "2023-11-14 22:13:20Z",
            "2023-11-14T22:13:20",
            "2023-13-14T22:13:20Z",
            "2023-02-29T22:13:20Z",
            "2023-11-14T24:13:20Z",
            "2023-11-14T22:13:20+2:00",
            "2023-11-14T22:13:20Zx",
            "1969-12-31T23:59:59Z",
            "20231114T221320Z",
            "ä023-11-14T22:13:20Z",
        ] {
            assert_eq!(time(text), None, "{text}");
        }
    }

    /// A plugin of this test's own; `script` is what a shell runs.
    fn plugin(script: &str, environment: &[(&str, &str)]) -> Vault {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Vault::Exec(Exec::new(Plugin {
            program: "sh".into(),
            arguments: vec!["-c".to_owned(), script.to_owned(), "plugin".to_owned(), "word".to_owned()],
            environment: environment.iter().map(own).collect(),
            edition: Edition::V1,
            cluster: Some(r#"{"server":"https://a"}"#.to_owned()),
        }))
    }

    async fn fetched(vault: &Vault) -> Result<String, String> {
        let secret = vault.fetch().await?.unwrap();
        Ok(String::from_utf8(secret.expose().to_vec()).unwrap())
    }

    /// Prints the file's next number as a token, which ends when `ends`, a command of the shell, says.
    fn counting(file: &Path, ends: &str) -> String {
        let file = file.display();
        format!(
            "n=$(cat {file} 2>/dev/null || echo 0); n=$((n+1)); echo $n > {file}; \
             printf '{{{HEAD},\"status\":{{\"token\":\"t%s\",\"expirationTimestamp\":\"%s\"}}}}' $n \"$({ends})\""
        )
    }

    fn scratch(name: &str) -> PathBuf {
        let file = std::env::temp_dir().join(format!("tacho-exec-{name}-{}", std::process::id()));
        let _none = std::fs::remove_file(&file);
        file
    }

    #[tokio::test]
    async fn a_plugin_runs_once_while_its_token_is_good() {
        let file = scratch("good");
        let vault = plugin(&counting(&file, "echo 2999-01-01T00:00:00Z"), &[]);
        let (one, two) = tokio::join!(fetched(&vault), fetched(&vault));
        assert_eq!((one.as_deref(), two.as_deref()), (Ok("t1"), Ok("t1")));
        assert_eq!(fetched(&vault).await.as_deref(), Ok("t1"));
        assert_eq!(vault.fetch_whole().await.unwrap().unwrap().expose(), b"t1");
        std::fs::remove_file(file).unwrap();
    }

    #[tokio::test]
    async fn a_token_that_is_nearly_over_is_asked_for_anew() {
        let file = scratch("over");
        let vault = plugin(&counting(&file, "date -u -d '+30 seconds' +%Y-%m-%dT%H:%M:%SZ"), &[]);
        assert_eq!(fetched(&vault).await.as_deref(), Ok("t1"));
        assert_eq!(fetched(&vault).await.as_deref(), Ok("t2"));
        let over = plugin(&counting(&file, "echo 2001-01-01T00:00:00Z"), &[]);
        assert_eq!(
            fetched(&over).await,
            Err("the credential plugin `sh` gave a token that is over already".to_owned())
        );
        std::fs::remove_file(file).unwrap();
    }

    #[tokio::test]
    async fn a_token_is_not_kept_for_long_whatever_is_said_of_its_end() {
        let file = scratch("long");
        let vault = plugin(&counting(&file, "echo 2999-01-01T00:00:00Z"), &[]);
        let Vault::Exec(exec) = &vault else { panic!() };
        assert_eq!(fetched(&vault).await.as_deref(), Ok("t1"));
        {
            let mut kept = exec.kept.lock().await;
            let Kept::Token { most, .. } = &mut *kept else { panic!() };
            assert!(*most > later(entropy::tick(), KEPT_MAX - PAUSE));
            assert!(*most <= later(entropy::tick(), KEPT_MAX));
            *most = entropy::tick();
        }
        assert_eq!(fetched(&vault).await.as_deref(), Ok("t2"));
        std::fs::remove_file(file).unwrap();
    }

    #[tokio::test]
    async fn a_plugin_is_told_its_edition_its_cluster_and_its_environment() {
        let script = format!(
            "[ \"$1\" = word ] && [ \"$COLOUR\" = blue ] && [ -z \"$(cat)\" ] && \
             [ \"$KUBERNETES_EXEC_INFO\" = '{{{HEAD},\"spec\":{{\"cluster\":{{\"server\":\"https://a\"}},\"interactive\":false}}}}' ] && \
             printf '{{{HEAD},\"status\":{{\"token\":\"told\"}}}}'"
        );
        assert_eq!(fetched(&plugin(&script, &[("COLOUR", "blue")])).await.as_deref(), Ok("told"));
    }

    #[tokio::test]
    async fn a_plugin_that_fails_is_not_run_for_each_connection_and_what_it_printed_is_not_told() {
        let file = scratch("fails");
        let vault = plugin(&format!("echo canary; echo x >> {}; exit 3", file.display()), &[]);
        for _ in 0..2 {
            let why = fetched(&vault).await.unwrap_err();
            assert!(why.contains("`sh` failed") && why.contains('3') && !why.contains("canary"), "{why}");
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "x\n");
        std::fs::remove_file(file).unwrap();
        let why = fetched(&plugin("echo canary", &[])).await.unwrap_err();
        assert!(why.contains("ExecCredential") && !why.contains("canary"), "{why}");
        let why = fetched(&plugin("yes | head -c 70000", &[])).await.unwrap_err();
        assert!(why.contains("more than 65536 bytes"), "{why}");
    }

    #[test]
    fn a_plugin_prints_no_argument() {
        let Vault::Exec(exec) = plugin("canary", &[("A", "canary")]) else { panic!() };
        assert_eq!(format!("{exec:?}"), "Exec(sh, client.authentication.k8s.io/v1)");
    }
}
