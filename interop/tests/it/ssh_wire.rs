//! SSH's handshake as it goes over the wire, on both legs: what is offered, what is refused, and what becomes of one that somebody in
//! the middle has changed (Terrapin, CVE-2023-48795).

use crate::ssh::Scene;
use interop::sshd::Sshd;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// SSH_MSG_IGNORE with nothing in it, before there is a key (RFC 4253, 6 and 11.2): length 12, padding 6.
const IGNORE: &[u8] = &[0, 0, 0, 12, 6, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// What nobody may offer: SHA-1, Diffie-Hellman over finite fields, CBC, ciphers and MACs of Terrapin's, and none.
const WEAK: &[&str] = &[
    "sha1",
    "diffie-hellman",
    "cbc",
    "3des",
    "arcfour",
    "chacha20",
    "etm@",
    "md5",
    "none",
    "ssh-rsa",
    "ssh-dss",
    "zlib",
    "umac-64",
];
const PATIENCE: Duration = Duration::from_secs(20);

/// Reads the line that says who the other end is.
fn identification(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while line.last() != Some(&b'\n') && line.len() < 300 {
        stream.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    Ok(line)
}

/// Reads one packet before there is a key, with its length.
fn packet(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut body = vec![0; u32::from_be_bytes(length).min(40_000) as usize];
    stream.read_exact(&mut body)?;
    Ok([&length[..], &body].concat())
}

/// The ten lists of a KEXINIT (RFC 4253, 7.1).
fn lists(packet: &[u8]) -> Vec<Vec<String>> {
    assert_eq!(packet[5], 20, "it is no KEXINIT");
    let mut rest = &packet[22..];
    let mut all = Vec::new();
    for _ in 0..10 {
        let (length, behind) = rest.split_at(4);
        let (names, behind) = behind.split_at(u32::from_be_bytes(length.try_into().unwrap()) as usize);
        all.push(std::str::from_utf8(names).unwrap().split(',').map(str::to_owned).collect());
        rest = behind;
    }
    all
}

#[track_caller]
fn strong(lists: &[Vec<String>], strict: &str) {
    assert!(lists[0].iter().any(|name| name == strict), "{strict} in {:?}", lists[0]);
    for name in lists[..6].iter().flatten() {
        assert!(WEAK.iter().all(|weak| !name.contains(weak)), "{name} is offered");
    }
    assert_eq!(lists[6..8], [["none"], ["none"]], "compression");
}

#[test]
fn on_both_legs_strict_key_exchange_is_offered_and_nothing_weak() {
    let scene = Scene::start(|_| {});
    let mut stream = TcpStream::connect(("127.0.0.1", scene.port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"SSH-2.0-looks\r\n").unwrap();
    assert!(identification(&mut stream).unwrap().starts_with(b"SSH-2.0-"));
    strong(&lists(&packet(&mut stream).unwrap()), "kex-strict-s-v00@openssh.com");

    let (seen, middle) = Middle::before(scene.sshd.port, None, None);
    let scene = scene_through(scene.sshd, middle);
    let done = scene.sh("runner-wire-1", "ssh build echo there");
    assert_eq!(done.out(), "there\n", "{}", scene.gateway.explain(&done));
    let first = seen.recv_timeout(PATIENCE).unwrap();
    strong(&lists(&first), "kex-strict-c-v00@openssh.com");
}

/// A gateway before a host that it reaches through somebody in the middle.
fn scene_through(sshd: Sshd, port: u16) -> Scene {
    let pin = format!("host_key = \"{}\"", sshd.host_key().unwrap());
    Scene::at(sshd, port, &pin, "", |_| {})
}

/// Somebody between two ends, who puts a packet behind the first one of either side.
struct Middle;

impl Middle {
    /// Listens in front of `port`. `to_server` and `to_client` are what is put in. What each client's first packet was is told.
    fn before(
        port: u16,
        to_server: Option<&'static [u8]>,
        to_client: Option<&'static [u8]>,
    ) -> (std::sync::mpsc::Receiver<Vec<u8>>, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        let (tell, seen) = std::sync::mpsc::channel();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let ways =
                    [(client.try_clone(), server.try_clone()), (server.try_clone(), client.try_clone())];
                let [up, down] = ways.map(|(from, to)| (from.unwrap(), to.unwrap()));
                let tell = tell.clone();
                thread::spawn(move || pass(up, to_server, |first| drop(tell.send(first.to_vec()))));
                thread::spawn(move || pass(down, to_client, |_| ()));
            }
        });
        (seen, own)
    }
}

/// Passes on what comes, with `put_in` behind the first packet.
fn pass((mut from, mut to): (TcpStream, TcpStream), put_in: Option<&[u8]>, first: impl FnOnce(&[u8])) {
    let begin = || -> io::Result<()> {
        to.write_all(&identification(&mut from)?)?;
        let packet = packet(&mut from)?;
        first(&packet);
        to.write_all(&packet)?;
        to.write_all(put_in.unwrap_or_default())
    };
    if begin().is_ok() {
        let _until_either_ends = io::copy(&mut from, &mut to);
    }
    let _gone = (to.shutdown(std::net::Shutdown::Both), from.shutdown(std::net::Shutdown::Both));
}

#[test]
fn a_handshake_that_somebody_put_a_packet_into_fails_on_both_legs() {
    let scene = Scene::start(|_| {});
    // OpenSSH's client before the gateway.
    for (to_server, to_client) in [(Some(IGNORE), None), (None, Some(IGNORE)), (None, None)] {
        let (_seen, middle) = Middle::before(scene.port, to_server, to_client);
        let done = scene.sh(
            "runner-wire-2",
            &format!("ssh -o HostKeyAlias=[127.0.0.1]:{} -p {middle} build 'echo through'", scene.port),
        );
        let through = to_server.is_none() && to_client.is_none();
        assert_eq!(done.out() == "through\n", through, "{}", scene.gateway.explain(&done));
        assert_eq!(done.status.code() == Some(255), !through, "{}", done.all());
    }
    // The gateway before OpenSSH's server.
    for (n, (to_server, to_client)) in [(Some(IGNORE), None), (None, Some(IGNORE))].into_iter().enumerate() {
        let sshd = Sshd::start("").unwrap();
        let (_seen, middle) = Middle::before(sshd.port, to_server, to_client);
        let scene = scene_through(sshd, middle);
        let agent = format!("runner-wire-3-{n}");
        let done = scene.sh(&agent, "ssh build 'echo through'");
        assert_eq!(done.status.code(), Some(255), "{}", scene.gateway.explain(&done));
        assert!(
            !done.out().contains("through") && !scene.sshd.log().contains("Accepted"),
            "{}",
            scene.sshd.log()
        );
        assert!(scene.show(&agent).to_string().contains("not-connected"));
    }
}

#[test]
fn a_client_with_nothing_strong_is_counted_in_the_record() {
    let scene = Scene::start(|_| {});
    for weak in [
        "KexAlgorithms=diffie-hellman-group1-sha1",
        "Ciphers=aes128-cbc",
        "Ciphers=3des-cbc",
        "HostKeyAlgorithms=ssh-rsa",
    ] {
        let done = scene.sh("runner-wire-4", &format!("ssh -o {weak} build true"));
        assert_eq!(done.status.code(), Some(255), "{weak}: {}", done.all());
    }
    let done = scene.sh("runner-wire-4", "ssh -o Ciphers=aes128-ctr -o MACs=hmac-sha1 build true");
    assert_eq!(done.status.code(), Some(255), "{}", done.all());
    // Counts are written every ten seconds, and at the end.
    let records = crate::scan::records(&scene.gateway.stop().ledger());
    let of = |record: &crate::scan::Record| {
        let text = String::from_utf8_lossy(&record.0).into_owned();
        let (before, _) = text.split_once(" algorithms")?;
        before.chars().last()?.to_digit(10)
    };
    let counted: u32 = records.iter().filter(|record| record.has("turned-away")).filter_map(of).sum();
    assert_eq!(counted, 5, "they are not in the record by name");
}

#[test]
fn a_host_with_nothing_strong_is_not_logged_in_to_and_the_record_says_what_it_lacks() {
    for (n, (lines, why)) in [
        ("KexAlgorithms diffie-hellman-group1-sha1,diffie-hellman-group14-sha1", "no key exchange"),
        ("Ciphers aes128-cbc", "no cipher"),
        ("Ciphers 3des-cbc", "no cipher"),
        ("Ciphers chacha20-poly1305@openssh.com", "no cipher"),
        ("Ciphers aes128-ctr\nMACs hmac-sha1,hmac-sha2-256-etm@openssh.com", "no MAC"),
        ("HostKeyAlgorithms ssh-rsa\nHostKey {dir}/rsa", "did not prove a pinned key"),
    ]
    .into_iter()
    .enumerate()
    {
        let sshd = Sshd::start(lines).unwrap();
        let pin = format!("host_key = \"{}\"", sshd.host_key().unwrap());
        let scene = Scene::of(sshd, &pin, "", |_| {});
        let agent = format!("runner-wire-5-{n}");
        let done = scene.sh(&agent, "ssh build true");
        assert_eq!(done.status.code(), Some(255), "{lines}: {}", scene.gateway.explain(&done));
        let shown = scene.show(&agent).to_string();
        assert!(shown.contains("not-connected") && shown.contains(why), "{lines}: {why} in {shown}");
        assert!(!scene.sshd.log().contains("Accepted"), "{lines}: {}", scene.sshd.log());
    }
}
