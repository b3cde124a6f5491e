//! Clients of an API server, each in the way in which it is timed: h2load for many small answers, curl for a long one and for
//! watches. All of them speak HTTP/1.1 over TLS and show a token.

use super::super::ways::could;
use super::Stop;
use interop::process::{Leash, finish};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Requests by then are not counted: connections and TLS are their own beginning.
const WARM_UP: Duration = Duration::from_secs(1);
/// 5,000 objects take 10 s on two idle cores.
const FILL_SECONDS_MAX: Duration = Duration::from_secs(240);
const FILL_CLIENTS: usize = 16;
/// Of so many names given by chance one or two are there already; of those, none.
const FILLS_MAX: usize = 5;
/// Longer than any answer takes here, as curl's `--max-time`, in seconds.
const ANSWER_SECONDS_MAX: &str = "120";
/// Longer than any event takes.
const EVENT_SECONDS_MAX: Duration = Duration::from_secs(20);
/// A watch ends by itself after that, in seconds.
const WATCH_SECONDS_MAX: &str = "600";
/// Events that nobody has looked at yet.
const EVENTS_MAX: usize = 64;

/// Where an API server is found, as whom, and who vouches for it.
pub struct Door {
    pub port: u16,
    pub token: String,
    pub authority: PathBuf,
}

/// What clients saw together, behind the warm-up.
pub struct Load {
    pub rate: f64,
    /// With those of the warm-up, for what they cost.
    pub all: f64,
    pub latencies_us: Vec<f64>,
}

impl Door {
    /// `clients` connections ask for the same thing, one time after another, for that long and a warm-up. `log` is overwritten.
    pub fn load(&self, path: &str, clients: usize, time: Duration, log: &Path) -> Result<Load, Stop> {
        let mut h2load = self.h2load(clients, log);
        h2load.args(["-D", &(time + WARM_UP).as_secs().to_string()]).arg(self.url(path));
        let done = finish(&mut h2load, b"", FILL_SECONDS_MAX)?;
        let text = std::fs::read_to_string(log).map_err(could)?;
        let load = of_log(&text, time);
        load.ok_or_else(|| {
            Stop::Could(format!("GET {path}: not every answer was a good one\n{}", done.all()))
        })
    }

    /// Makes `count` objects of this body, which leaves their names to the API server. It takes them by chance, and refuses one
    /// that it has given before.
    pub fn fill(&self, path: &str, body: &Path, count: usize, log: &Path) -> Result<(), Stop> {
        let mut left = count;
        for _ in 0..FILLS_MAX {
            let mut h2load = self.h2load(left.min(FILL_CLIENTS), log);
            h2load.args(["-n", &left.to_string(), "-H", "content-type: application/json", "-d"]);
            let done = finish(h2load.arg(body).arg(self.url(path)), b"", FILL_SECONDS_MAX)?;
            let text = std::fs::read_to_string(log).map_err(could)?;
            left -= text.lines().filter_map(logged).filter(|(_, status, _)| *status == 201).count().min(left);
            match left {
                0 => return Ok(()),
                // Many that were refused were refused for another reason.
                _ if left > count / 100 => {
                    return Err(Stop::Could(format!("POST {path}: {left} were not made\n{}", done.all())));
                }
                _ => {}
            }
        }
        Err(Stop::Could(format!("POST {path}: {left} of {count} were not made")))
    }

    /// One long answer on a connection of its own: its bytes, and seconds from the client's start to the last of them.
    pub fn once(&self, path: &str) -> Result<(f64, f64), Stop> {
        let mut curl = self.curl();
        curl.args(["-o", "/dev/null", "-w", "%{http_code} %{size_download} %{time_total}"]);
        let done = finish(curl.arg(self.url(path)), b"", FILL_SECONDS_MAX)?;
        let said = done.out();
        let mut words = said.split_whitespace();
        let status = words.next();
        let numbers = (words.next().and_then(|w| w.parse().ok()), words.next().and_then(|w| w.parse().ok()));
        match (status, numbers) {
            (Some("200"), (Some(bytes), Some(seconds))) if done.status.success() => Ok((bytes, seconds)),
            _ => Err(Stop::Could(format!("GET {path}: {}", done.all()))),
        }
    }

    /// Makes one object.
    pub fn make(&self, path: &str, body: &str) -> Result<(), Stop> {
        let mut curl = self.curl();
        curl.args(["--fail", "-o", "/dev/null", "-H", "Content-Type: application/json", "-d", body]);
        let status = curl.arg(self.url(path)).stdin(Stdio::null()).status().map_err(could)?;
        if status.success() { Ok(()) } else { Err(Stop::Could(format!("POST {path}: {status}"))) }
    }

    /// Watches objects whose names are `e` and a number.
    pub fn watch(&self, path: &str) -> Result<Watch, Stop> {
        let mut curl = self.curl();
        curl.args(["-N", "--max-time", WATCH_SECONDS_MAX]).arg(self.url(path));
        curl.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        let mut child = curl.spawn().map_err(could)?;
        let leash = Leash::on(child.id(), "KILL");
        let Some(from) = child.stdout.take() else { return Err(Stop::Could("curl: no pipe".to_owned())) };
        let (send, events) = sync_channel(EVENTS_MAX);
        // Ends with its child's output, or with whoever listens.
        thread::spawn(move || {
            let (mut from, mut line) = (BufReader::new(from), Vec::new());
            while matches!(from.read_until(b'\n', &mut line), Ok(some) if some > 0) {
                let came = Instant::now();
                if number(&line).is_some_and(|number| send.send((number, came)).is_err()) {
                    return;
                }
                line.clear();
            }
        });
        Ok(Watch { child, events, _leash: leash })
    }

    fn h2load(&self, clients: usize, log: &Path) -> Command {
        // It goes on writing behind what is there.
        drop(std::fs::remove_file(log));
        let mut h2load = Command::new("h2load");
        h2load.args(["--h1", "-t", "1", "-c", &clients.to_string(), "--log-file"]).arg(log);
        h2load.args(["-H", &format!("authorization: Bearer {}", self.token)]);
        h2load
    }

    fn curl(&self) -> Command {
        let mut curl = Command::new("curl");
        // An API server that reads curl's own name sets its answers for a person's eyes, which is half as much again.
        curl.args(["-sS", "--http1.1", "--noproxy", "*", "-A", "bench", "--max-time", ANSWER_SECONDS_MAX]);
        curl.arg("--cacert").arg(&self.authority);
        curl.args(["-H", &format!("Authorization: Bearer {}", self.token)]);
        curl
    }

    fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.port)
    }
}

/// A watch that goes on until it is dropped.
pub struct Watch {
    child: Child,
    events: Receiver<(u32, Instant)>,
    _leash: Leash,
}

impl Watch {
    /// When the event of object `number` came.
    pub fn came(&self, number: u32) -> Result<Instant, Stop> {
        loop {
            match self.events.recv_timeout(EVENT_SECONDS_MAX) {
                Ok((of, came)) if of == number => return Ok(came),
                Ok(_earlier) => {}
                Err(why) => return Err(Stop::Could(format!("the event of object e{number}: {why}"))),
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What h2load has written in its log, without the warm-up and what began behind the time. `None`: an answer was none of 200, or
/// there was no answer.
fn of_log(text: &str, time: Duration) -> Option<Load> {
    let all: Vec<_> = text.lines().filter_map(logged).collect();
    let begun = all.iter().map(|(asked, ..)| *asked).fold(f64::INFINITY, f64::min);
    let from = begun + WARM_UP.as_secs_f64() * 1e6;
    let to = from + time.as_secs_f64() * 1e6;
    let ended = |asked: f64, took: f64| (from..to).contains(&(asked + took));
    let counted: Vec<_> = all.iter().filter(|(asked, _, took)| ended(*asked, *took)).collect();
    let good = !counted.is_empty() && counted.iter().all(|(_, status, _)| *status == 200);
    good.then(|| Load {
        rate: counted.len() as f64 / time.as_secs_f64(),
        all: all.len() as f64,
        latencies_us: counted.iter().map(|(_, _, took)| *took).collect(),
    })
}

/// A line of h2load's log: when it was asked, the status (-1: none), how long it took; in microseconds.
fn logged(line: &str) -> Option<(f64, i32, f64)> {
    let mut words = line.split('\t');
    let mut next = || words.next();
    Some((next()?.parse().ok()?, next()?.parse().ok()?, next()?.parse().ok()?))
}

/// The number in the name of an event's object. In an event the object's name is the first of all.
fn number(event: &[u8]) -> Option<u32> {
    const NAME: &[u8] = b"\"name\":\"e";
    let at = event.windows(NAME.len()).position(|window| window == NAME)? + NAME.len();
    let digits = event[at..].iter().take_while(|byte| byte.is_ascii_digit());
    String::from_utf8(digits.copied().collect()).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_asked_in_the_warm_up_and_behind_the_end_is_not_counted() {
        let log =
            "1000000\t200\t500\n2100000\t200\t700\n2200000\t200\t900\n2999900\t-1\t200\n3500000\t200\t1\n";
        let load = of_log(log, SECOND).unwrap();
        assert_eq!((load.rate, load.all, load.latencies_us), (2.0, 5.0, vec![700.0, 900.0]));
    }

    #[test]
    fn an_answer_that_is_none_or_another_is_no_figure() {
        assert!(of_log("", SECOND).is_none());
        assert!(of_log("1000000\t200\t1\n2100000\t403\t1\n", SECOND).is_none());
        assert!(of_log("1000000\t200\t1\n2100000\t-1\t1\n", SECOND).is_none());
    }

    #[test]
    fn an_events_object_is_known_by_its_number() {
        let event = br#"{"type":"ADDED","object":{"kind":"ConfigMap","metadata":{"name":"e17","uid":"x"}}}"#;
        assert_eq!(number(event), Some(17));
        assert_eq!(number(br#"{"type":"BOOKMARK","object":{}}"#), None);
    }
}
