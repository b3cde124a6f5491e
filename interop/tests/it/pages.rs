//! The console's pages as a browser uses them: log in, look, approve, deny; and what a page of another site cannot do.

use crate::people::operator;
use crate::raw::{Raw, code, field, query};
use crate::world::{eventually, own, upstream};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A browser with one cookie. It says where its forms come from, as browsers do.
struct Browser {
    console: u16,
    cookie: String,
}

struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Browser {
    /// Logged in at the form of the login page.
    fn log_in(console: u16, token: &str) -> Browser {
        let mut browser = Browser { console, cookie: String::new() };
        let page = browser.see("/login");
        assert!(page.body.contains("<form"), "{}", page.body);
        let reply = browser.send("/login", &format!("token={token}"), &browser.origin());
        assert_eq!(reply.status, 303, "{}", reply.body);
        let cookie = reply.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
        browser.cookie = cookie.split(';').next().unwrap().to_owned();
        browser
    }

    fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.console)
    }

    fn see(&self, path: &str) -> Reply {
        self.ask(&format!("GET {path} HTTP/1.1\r\n"), "")
    }

    /// Submits a form that stands on a page of `origin`.
    fn send(&self, path: &str, form: &str, origin: &str) -> Reply {
        let site = if origin == self.origin() { "same-origin" } else { "cross-site" };
        let head = format!(
            "POST {path} HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\
             Origin: {origin}\r\nSec-Fetch-Site: {site}\r\n",
            form.len()
        );
        self.ask(&head, form)
    }

    fn ask(&self, head: &str, body: &str) -> Reply {
        let mut stream = TcpStream::connect(("127.0.0.1", self.console)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let host = format!("Host: 127.0.0.1:{}\r\nConnection: close\r\n", self.console);
        let cookie =
            if self.cookie.is_empty() { String::new() } else { format!("Cookie: {}\r\n", self.cookie) };
        stream.write_all(format!("{head}{host}{cookie}\r\n{body}").as_bytes()).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        let all = String::from_utf8(all).unwrap();
        let (head, body) = all.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply { status, head: head.replace("\r\n", "\n"), body: body.to_owned() }
    }

    /// The first form of a page that goes to a path with this end: the path, and its secret.
    fn form(&self, page: &str, end: &str) -> (String, String) {
        let between = |text: &str, before: &str| -> Option<String> {
            Some(text.split_once(before)?.1.split('"').next()?.to_owned())
        };
        let found = page.split("<form").skip(1).find_map(|form| {
            let path = between(form, "action=\"").filter(|path| path.ends_with(end))?;
            Some((path, between(form, "name=\"form\" value=\"")?))
        });
        found.unwrap_or_else(|| panic!("no form for {end}:\n{page}"))
    }
}

#[test]
fn a_person_approves_and_denies_on_the_pages_and_another_site_does_not() {
    let gateway = own("pages", |plan| plan.durability = "os".to_owned());
    let lead = operator(&gateway, "lena", "approver", "leads");
    let auditor = operator(&gateway, "audrey", "auditor", "none");
    let lease = gateway.lease("asker").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    let browser = Browser::log_in(gateway.site().console, &lead);
    let inbox = browser.see("/approvals");
    assert!(inbox.status == 200 && inbox.body.contains("Nothing waits"), "{}", inbox.body);
    // Under `no-referrer` a browser says of our own forms that they come from nowhere, and all are refused.
    assert!(inbox.head.contains("\nreferrer-policy: same-origin"), "{}", inbox.head);
    assert!(inbox.head.contains("form-action 'self'") && !inbox.body.contains("<script"), "{}", inbox.head);
    let note = |order: u32| {
        upstream().admin("pages", &format!("SELECT note FROM orders WHERE id = {order}")).unwrap()
    };

    client.send(&query("UPDATE orders SET note = 'seen <b>' WHERE id = 1 /* 536-22-8391 */"));
    let inbox = eventually("the inbox shows it", || {
        Some(browser.see("/approvals").body).filter(|page| page.contains("UPDATE orders"))
    });
    assert!(inbox.contains("write crm/pages/public/orders") && inbox.contains("asker for ada"), "{inbox}");
    assert!(!inbox.contains("536-22-8391") && !inbox.contains("<b>"), "{inbox}");
    let (approve, secret) = browser.form(&inbox, "/approve");
    let good = format!("form={secret}&grant=once");
    let nobody = Browser { console: browser.console, cookie: String::new() };
    let other = Browser::log_in(gateway.site().console, &auditor);
    for (who, form, origin, expect) in [
        (&browser, &*good, "http://evil.example", 403),
        (&browser, &good, "null", 403),
        (&browser, "grant=once", &browser.origin(), 422),
        (&browser, "form=0123456789abcdef&grant=once", &browser.origin(), 403),
        (&nobody, &good, &browser.origin(), 303),
        // With a login of its own, but neither its secret nor the role.
        (&other, &good, &browser.origin(), 403),
    ] {
        let reply = who.send(&approve, form, origin);
        assert_eq!(reply.status, expect, "{form} from {origin}: {}", reply.body);
    }
    assert_eq!(note(1), "", "it was approved by a form that was none");
    let reply = browser.send(&approve, &good, &browser.origin());
    assert!(reply.status == 303 && reply.head.contains("location: /approvals"), "{}", reply.body);
    assert_eq!(code(&client.until_ready().unwrap()), None);
    assert_eq!(note(1), "seen <b>");

    client.send(&query("UPDATE orders SET note = 'never' WHERE id = 2"));
    let inbox = eventually("the inbox shows the second", || {
        Some(browser.see("/approvals").body).filter(|page| page.contains("UPDATE orders"))
    });
    let (deny, secret) = browser.form(&inbox, "/deny");
    let reply = browser.send(&deny, &format!("form={secret}&reason=not+on+a+Friday"), &browser.origin());
    assert_eq!(reply.status, 303, "{}", reply.body);
    let answer = client.until_ready().unwrap();
    let error = answer.iter().find(|(kind, _)| *kind == b'E').unwrap();
    assert!(field(&error.1, b'M').contains("not on a Friday"), "{}", field(&error.1, b'M'));
    assert!(browser.see("/approvals").body.contains("Nothing waits"));

    // The auditor's pages show both, and who decided; the approver has none of them.
    let run = lease.variable("TACHO_RUN");
    let page = eventually("the run's page shows both", || {
        Some(other.see(&format!("/runs/{run}")).body).filter(|page| page.contains("not on a Friday"))
    });
    assert!(
        page.contains("lena") && page.contains("UPDATE orders") && !page.contains("536-22-8391"),
        "{page}"
    );
    assert!(other.see("/runs").body.contains(&run[..12]) && other.see("/find?q=verb:write").status == 200);
    assert_eq!(browser.see(&format!("/runs/{run}")).status, 403);
    // Logged out, the cookie is worth nothing.
    let (_, secret) = browser.form(&browser.see("/approvals").body, "/logout");
    assert_eq!(browser.send("/logout", &format!("form={secret}"), &browser.origin()).status, 303);
    assert_eq!(browser.see("/approvals").status, 303);
}
