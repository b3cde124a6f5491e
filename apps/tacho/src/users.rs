//! Users of this machine, read from `/etc/passwd`. A user of another directory is given by uid.

use crate::config::AgentUser;

const PASSWD: &str = "/etc/passwd";

pub fn by_name(name: &str) -> Option<AgentUser> {
    find(&read(), |user| user.name.as_deref() == Some(name))
}

/// The user with this uid; one without an entry gets a group of the same number.
pub fn by_uid(uid: u32) -> AgentUser {
    find(&read(), |user| user.uid == uid).unwrap_or(AgentUser { name: None, uid, gid: uid })
}

/// The name of a uid, or `uid-N`.
pub fn name_of(uid: u32) -> String {
    by_uid(uid).name.unwrap_or_else(|| format!("uid-{uid}"))
}

/// The home directory that `/etc/passwd` gives a uid. What `HOME` says is the caller's choice.
pub fn home_of(uid: u32) -> Option<std::path::PathBuf> {
    let home = |line: &str| Some(line.split(':').nth(5)?.into());
    read().lines().find(|line| entry(line).is_some_and(|user| user.uid == uid)).and_then(home)
}

fn read() -> String {
    std::fs::read(PASSWD).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

fn find(passwd: &str, wanted: impl Fn(&AgentUser) -> bool) -> Option<AgentUser> {
    passwd.lines().filter_map(entry).find(wanted)
}

fn entry(line: &str) -> Option<AgentUser> {
    let mut fields = line.split(':');
    let name = fields.next()?.to_owned();
    let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(AgentUser { name: Some(name), uid, gid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_passwd_is_read_and_a_broken_one_is_not() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nbroken:x\nagent:x:10001:20002::/nonexistent:/bin/false\n";
        let user = find(passwd, |u| u.name.as_deref() == Some("agent"));
        assert_eq!(user, Some(AgentUser { name: Some("agent".to_owned()), uid: 10001, gid: 20002 }));
        assert_eq!(find(passwd, |u| u.name.as_deref() == Some("broken")), None);
    }
}
