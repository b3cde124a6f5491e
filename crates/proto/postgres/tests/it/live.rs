//! Against a real server: the same borders, and every reply at its place.

use crate::client::{Client, bind, execute, parse, portal, statement};
use crate::dice::Dice;
use bytes::BytesMut;
use proto_postgres::frame::Decoder;
use proto_postgres::message::{Format, FromClient, Target, TxStatus};
use proto_postgres::session::{Copying, Event, Fate, Kind, Sent, Translation, What};
use wire::RawField;

/// What the session is told of a client's message; `None` for what has no answer.
fn what(message: &FromClient) -> Option<What> {
    match message {
        FromClient::Parse(_) => Some(What::Parse),
        FromClient::Bind(_) => Some(What::Bind),
        FromClient::Describe(Target::Statement(_)) => Some(What::DescribeStatement),
        FromClient::Describe(Target::Portal(_)) => Some(What::DescribePortal),
        FromClient::Execute { .. } => Some(What::Execute),
        FromClient::Close(_) => Some(What::Close),
        FromClient::Sync => Some(What::Sync),
        FromClient::Query { .. } => Some(What::SimpleQuery),
        FromClient::CopyDone => Some(What::CopyDone),
        FromClient::CopyFail { .. } => Some(What::CopyFail),
        FromClient::CopyData(_) | FromClient::Flush | FromClient::Terminate => None,
        FromClient::FunctionCall(_) | FromClient::PasswordLike(_) => panic!("refused before"),
    }
}

fn query(sql: &str) -> FromClient {
    FromClient::Query { sql: RawField::copy_from(sql.as_bytes()) }
}

/// All messages of `bytes`, if we accept every one of them and nothing is left over.
fn accepted(bytes: &[u8]) -> Option<Vec<FromClient>> {
    let mut decoder = Decoder::client();
    decoder.authenticated();
    let mut buffer = BytesMut::from(bytes);
    let mut messages = Vec::new();
    while let Some(frame) = decoder.next(&mut buffer).ok()? {
        messages.push(FromClient::decode(&frame).ok()?);
    }
    buffer.is_empty().then_some(messages)
}

/// A pipeline with each kind of message and many lengths, in which no text starts a COPY FROM STDIN.
fn pipeline(dice: &mut Dice) -> Vec<u8> {
    let mut wire = BytesMut::new();
    for _ in 0..=dice.below(3) {
        for message in [
            parse("s", "select $1::text, 'x'"),
            FromClient::Describe(statement("s")),
            FromClient::Bind(proto_postgres::message::Bind {
                portal: RawField::from_static(b"p"),
                statement: RawField::from_static(b"s"),
                param_formats: vec![Format::Text],
                params: vec![Some(RawField::from_static(b"value"))],
                result_formats: vec![Format::Text, Format::Binary],
            }),
            FromClient::Describe(portal("p")),
            execute("p", 0),
            FromClient::Close(portal("p")),
            FromClient::Close(statement("s")),
            FromClient::Flush,
            FromClient::Sync,
            query("select 1; select 2"),
            query(""),
        ] {
            if dice.below(3) > 0 {
                message.encode(&mut wire).unwrap();
            }
        }
    }
    wire.to_vec()
}

fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>) {
    for _ in 0..=dice.below(2) {
        let at = dice.below(bytes.len());
        match dice.below(6) {
            0 => bytes[at] = dice.next() as u8,
            1 => bytes[at] = bytes[at].wrapping_add(1),
            2 => bytes[at] = bytes[at].wrapping_sub(1),
            3 => bytes.insert(at, *dice.pick(&[0, 1, 4, b'S', b'Q'])),
            4 => {
                bytes.remove(at);
            }
            _ => {
                let tail = bytes.split_off(at);
                bytes.extend_from_slice(&tail[..tail.len().min(1 + dice.below(30))]);
                bytes.extend_from_slice(&tail);
            }
        }
        if bytes.is_empty() {
            return;
        }
    }
}

/// P7: the same bytes to the server and to us. Whatever we accept whole, the server reads as the same messages: it
/// answers each of them, in order, and nothing else, and then answers a marker.
#[test]
fn what_we_accept_the_server_reads_with_the_same_borders() {
    let mut dice = Dice::new(7);
    let mut client = Client::connect();
    let (mut tried, mut accepted_mutants) = (0, 0);
    while tried < 4_000 {
        let mut bytes = pipeline(&mut dice);
        if bytes.is_empty() {
            continue;
        }
        tried += 1;
        mutate(&mut dice, &mut bytes);
        let Some(messages) = accepted(&bytes) else { continue };
        if messages.iter().any(|m| matches!(m, FromClient::FunctionCall(_) | FromClient::PasswordLike(_))) {
            continue;
        }
        accepted_mutants += 1;
        let ends = messages.iter().position(|m| *m == FromClient::Terminate);
        for message in &messages[..ends.unwrap_or(messages.len())] {
            if let Some(what) = what(message) {
                let _ = client.session.sent(Sent::shown(0, what)).unwrap();
            }
        }
        client.put_raw(&bytes);
        if ends.is_some() {
            client.flush();
            while client.event().is_some() {}
            client = Client::connect();
            continue;
        }
        // Ends whatever is open, then says where the borders are.
        assert_eq!(client.send(Sent::shown(1, What::Sync), &FromClient::Sync), Fate::Outstanding);
        assert_eq!(
            client.send(Sent::shown(2, What::SimpleQuery), &query("select 'marker'")),
            Fate::Outstanding
        );
        let events = client.settle();
        assert!(client.session.is_idle(), "{messages:?}");
        for event in &events {
            if let Kind::Error { fields, fatal, .. } = &event.kind {
                let message = fields.get(b'M').unwrap().to_str().unwrap_or_default();
                assert!(!fatal, "{message}: {messages:?}");
                assert_ne!(message, "invalid message format", "{messages:?}");
            }
        }
        let of_marker = |event: &&Event| event.of.is_some_and(|sent| sent.op == 2);
        let marker = events.iter().filter(of_marker).find_map(|event| match &event.kind {
            Kind::DataRow(row) => row.cells().next().flatten().map(<[u8]>::to_vec),
            // PostgreSQL 18.6 trips over itself when a Query comes behind extended messages without a Sync
            // ("StartTransactionCommand: unexpected state STARTED"). The borders are right all the same.
            Kind::Error { fields, .. } if fields.sqlstate() == Some(*b"XX000") => Some(b"marker".to_vec()),
            _ => None,
        });
        assert_eq!(marker.as_deref(), Some(&b"marker"[..]), "{messages:?}");
    }
    assert!(
        accepted_mutants > 300,
        "{accepted_mutants} of {tried} mutants were accepted: too few to say anything"
    );
}

/// The same for startup packets: what we accept as a startup message, the server does too.
#[test]
fn startup_packets_that_we_accept_the_server_accepts() {
    use proto_postgres::startup::{self, Startup};
    use std::io::{Read, Write};
    let port = crate::client::server().port;
    let mut dice = Dice::new(8);
    let mut whole = BytesMut::new();
    startup::encode_message(&mut whole, 0, &[(b"user", b"postgres"), (b"application_name", b"x")]).unwrap();
    let mut checked = 0;
    for _ in 0..400 {
        let mut bytes = whole.to_vec();
        mutate(&mut dice, &mut bytes);
        let Ok(Startup::Message(message)) = startup::decode(&bytes) else { continue };
        if message.len != bytes.len() || message.user().is_none() {
            continue;
        }
        checked += 1;
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        stream.write_all(&bytes).unwrap();
        let mut answer = [0; 512];
        let n = stream.read(&mut answer).unwrap();
        // A request for authentication or a negotiation: the packet was read to its end. Or an error about what it
        // says (a parameter that does not exist), but never about its layout.
        let said = String::from_utf8_lossy(&answer[..n]).into_owned();
        assert!(matches!(answer[0], b'R' | b'v' | b'E'), "{bytes:?}: {said}");
        assert!(!said.contains("startup packet"), "{bytes:?}: {said}");
    }
    assert!(checked > 50, "{checked}");
}

/// One pipeline of a random walk, and what each message should get.
fn walk(client: &mut Client, dice: &mut Dice, op: &mut u64) {
    let mut expect: Vec<(u64, String)> = Vec::new();
    let mut portals = Vec::new();
    for _ in 0..=dice.below(12) {
        *op += 1;
        let op = *op;
        let mut send = |what, message: FromClient| {
            let _ = client.send(Sent::shown(op, what), &message);
        };
        match dice.below(16) {
            // A statement whose rows say which operation they are of.
            0..=3 => {
                let name = format!("p{op}");
                send(
                    What::Parse,
                    parse("", &format!("select {op}, g from generate_series(1, {}) g", dice.below(4))),
                );
                send(What::Bind, bind(&name, "", Format::Text));
                if dice.coin() {
                    send(What::DescribePortal, FromClient::Describe(portal(&name)));
                }
                let rows_max = dice.below(3) as i32;
                send(What::Execute, execute(&name, rows_max));
                expect.push((op, op.to_string()));
                portals.push(name);
            }
            4 => send(What::Parse, parse(&format!("s{op}"), "select $1::int")),
            5 => {
                let sql: &str =
                    dice.pick::<&str>(&["selec", "select nope", "", "select $1 + 1", "begin", "commit"]);
                send(What::Parse, parse("", sql));
                send(What::DescribeStatement, FromClient::Describe(statement("")));
            }
            6 => send(What::DescribeStatement, FromClient::Describe(statement("nope"))),
            7 => send(What::DescribePortal, FromClient::Describe(portal("nope"))),
            8 => send(What::Poison, parse("", "refused by the gateway")),
            9 => send(What::Close, FromClient::Close(statement("any"))),
            10 => send(What::Sync, FromClient::Sync),
            11 => send(What::Execute, execute(["nope", ""][dice.below(2)], 0)),
            12 => {
                let sql = *dice.pick(&[
                    "begin",
                    "commit",
                    "rollback",
                    "savepoint a",
                    "rollback to a",
                    "select 1/0",
                    "insert into walk values (1), (1)",
                    "do $$ begin raise notice 'hello'; end $$",
                    "copy (select generate_series(1, 3)) to stdout",
                    "set application_name = 'x'",
                    "notify walk",
                    "",
                ]);
                send(What::Parse, parse("", sql));
                send(What::Bind, bind("", "", Format::Text));
                send(What::DescribePortal, FromClient::Describe(portal("")));
                send(What::Execute, execute("", 0));
            }
            13 if !portals.is_empty() => {
                let name = dice.pick(&portals).clone();
                send(What::Execute, execute(&name, 1));
                let of = name[1..].to_owned();
                expect.push((op, of));
            }
            14 => {
                let sql = *dice.pick(&[
                    "select 1; select 2; select 1/0; select 3",
                    "begin; insert into walk values (2), (2); commit",
                    "copy walk to stdout; select 5",
                    "",
                    ";;",
                    "selec",
                    "create temp table if not exists w2(i int); drop table w2",
                    "listen walk",
                ]);
                send(What::SimpleQuery, query(sql));
            }
            _ => client.put(&FromClient::Flush),
        }
    }
    *op += 1;
    assert_eq!(client.send(Sent::shown(*op, What::Sync), &FromClient::Sync), Fate::Outstanding);
    for event in client.settle() {
        check_marker(&event, &expect);
    }
    assert!(client.session.is_idle());
}

/// A row of a marked statement is given to the operation that ran it.
fn check_marker(event: &Event, expect: &[(u64, String)]) {
    let Kind::DataRow(row) = &event.kind else { return };
    let of = event.of.unwrap();
    let Some((_, marker)) = expect.iter().find(|(op, _)| *op == of.op) else { return };
    assert_eq!(row.cells().next().flatten(), Some(marker.as_bytes()), "{event:?}");
}

#[test]
fn random_pipelines_with_errors_are_answered_in_order() {
    let mut dice = Dice::new(9);
    let mut client = Client::connect();
    client.query("create temp table walk(i int unique deferrable initially deferred)").unwrap();
    let mut op = 0;
    for _ in 0..1_500 {
        walk(&mut client, &mut dice, &mut op);
    }
    // Both sides agree on the transaction.
    let _ = client.query("rollback");
    assert_eq!(client.session.tx(), TxStatus::Idle);
    client.query("begin").unwrap();
    assert_eq!(client.session.tx(), TxStatus::InTransaction);
    client.query("select 1/0").unwrap_err();
    assert_eq!(client.session.tx(), TxStatus::Failed);
    client.query("rollback").unwrap();
    assert_eq!(client.session.tx(), TxStatus::Idle);
}

/// COPY FROM STDIN in both protocols, ended in each way, under the rule that nothing is sent behind it.
#[test]
fn copy_from_stdin_ends_in_each_way() {
    let mut dice = Dice::new(10);
    let mut client = Client::connect();
    client.query("create temp table target(i int check (i <> 13))").unwrap();
    for round in 0..200 {
        let extended = dice.coin();
        if extended {
            let _ = client.send(Sent::shown(1, What::Parse), &parse("", "copy target from stdin"));
            let _ = client.send(Sent::shown(2, What::Bind), &bind("", "", Format::Text));
            let _ = client.send(Sent::shown(3, What::Execute), &execute("", 0));
            client.put(&FromClient::Flush);
        } else {
            let message = query("select 1; copy target from stdin; select 2");
            let _ = client.send(Sent::shown(3, What::SimpleQuery), &message);
        }
        client.flush();
        while client.session.copying().is_none() {
            client.event().unwrap();
        }
        assert_eq!(client.session.copying(), Some(Copying::In));
        let bad = dice.below(3) == 0;
        for i in 0..dice.below(5) {
            let line = if bad && i == 1 { "13\n".to_owned() } else { format!("{i}\n") };
            client.put(&FromClient::CopyData(RawField::copy_from(line.as_bytes())));
        }
        let (what, message) = match dice.below(3) {
            0 => (What::CopyFail, FromClient::CopyFail { reason: RawField::from_static(b"no") }),
            _ => (What::CopyDone, FromClient::CopyDone),
        };
        assert_eq!(client.send(Sent::shown(4, what), &message), Fate::Outstanding);
        if extended {
            assert_eq!(client.send(Sent::shown(5, What::Sync), &FromClient::Sync), Fate::Outstanding);
        }
        let events = client.settle();
        assert!(client.session.is_idle(), "round {round}");
        let failed = events.iter().any(|event| matches!(event.kind, Kind::Error { .. }));
        let complete =
            events.iter().any(|event| matches!(&event.kind, Kind::Complete(tag) if tag.command() == b"COPY"));
        assert!(failed != complete, "round {round}: one of both");
    }
}

#[test]
fn a_connection_that_is_ended_by_an_administrator_ends_with_a_fatal_error() {
    let mut client = Client::connect();
    let pid = client.query("select pg_backend_pid()").unwrap()[0][0].clone().unwrap();
    let pid = String::from_utf8(pid).unwrap();
    Client::connect().query(&format!("select pg_terminate_backend({pid})")).unwrap();
    let event = client.event().expect("an error first");
    assert!(matches!(event.kind, Kind::Error { fatal: true, .. }) && event.of.is_none());
    assert!(client.event().is_none());
    assert!(client.session.sent(Sent::shown(1, What::Sync)).is_err());
}

/// What a client sees of a Query, without positions (mapped by whoever knows the text) and OIDs of tables.
fn seen(event: &Event) -> String {
    match &event.kind {
        Kind::Error { fields, .. } | Kind::Notice(fields) => fields
            .iter()
            .filter(|(code, _)| matches!(code, b'S' | b'C' | b'M' | b'D' | b'H'))
            .map(|(_, value)| format!("{} ", value.to_str().unwrap()))
            .collect(),
        Kind::RowDescription(rows) => rows
            .columns
            .iter()
            .map(|c| {
                let name = c.name.to_str().unwrap();
                let (column, kind) = (c.attribute, (c.type_oid, c.type_size, c.type_modifier, c.format));
                format!("{name} {} {column} {kind:?} ", c.table != 0)
            })
            .collect(),
        Kind::DataRow(row) => row
            .cells()
            .map(|c| format!("{:?} ", c.map(|c| String::from_utf8_lossy(c).into_owned())))
            .collect(),
        Kind::Complete(tag) => tag.0.to_str().unwrap().to_owned(),
        Kind::CopyData(data) => data.to_str().unwrap().to_owned(),
        Kind::Parameter { name, value } => format!("{} {}", name.to_str().unwrap(), value.to_str().unwrap()),
        Kind::Notification { channel, payload, .. } => {
            format!("{} {}", channel.to_str().unwrap(), payload.to_str().unwrap())
        }
        other => format!("{other:?}"),
    }
}

/// What a client sees of `statements` as one Query.
fn as_query(client: &mut Client, statements: &[&str]) -> Vec<String> {
    let _ = client.send(Sent::shown(1, What::SimpleQuery), &query(&statements.join(";")));
    client.settle().iter().map(seen).collect()
}

/// And translated, as the session's documentation says. `parses` is what the gateway's parser says of the whole text.
fn as_pipeline(client: &mut Client, statements: &[&str], parses: bool) -> Vec<String> {
    let whole = statements.join(";");
    let single = [&*whole];
    let each: &[&str] = if parses { statements } else { &single };
    for (op, sql) in each.iter().enumerate() {
        let op = op as u64;
        let _ = client.send(Sent::hidden(op, What::Parse), &parse("", sql));
        if parses {
            let _ = client.send(Sent::hidden(op, What::Bind), &bind("", "", Format::Text));
            let _ = client.send(Sent::shown(op, What::DescribePortal), &FromClient::Describe(portal("")));
            let _ = client.send(Sent::shown(op, What::Execute), &execute("", 0));
        }
    }
    let _ = client.send(Sent::hidden(99, What::Close), &FromClient::Close(statement("")));
    let _ = client.send(Sent::hidden(99, What::Close), &FromClient::Close(portal("")));
    let _ = client.send(Sent::shown(99, What::Sync), &FromClient::Sync);
    let mut translation = Translation::new(each.len() as u64 - 1);
    let events = client.settle();
    events.into_iter().flat_map(|event| translation.pass(event)).map(|event| seen(&event)).collect()
}

#[test]
fn a_query_sent_as_extended_messages_looks_the_same() {
    let texts: &[&[&str]] = &[
        &["select 1"],
        &[""],
        &["select 1, 'a' as b", "select null::int, true, 1.5::numeric, array[1,2]"],
        &["select * from generate_series(1, 100)"],
        &["create table mine(i int, t text)", "insert into mine values (1, 'a'), (2, 'b')"],
        &[
            "select * from mine",
            "update mine set i = 3 where i = 1 returning i",
            "delete from mine where i = 3",
        ],
        &["select 1", "select 1/0", "select 2"],
        &["insert into mine values (9, 'x')", "select 1/0"],
        &["select count(*) from mine where i = 9"],
        &["begin", "insert into mine values (10, 'x')", "commit"],
        &["begin", "insert into mine values (11, 'x')", "rollback"],
        &["select i from mine order by i"],
        &["begin", "select 1/0"],
        &["select 1"],
        &["rollback"],
        &["begin"],
        &["savepoint a", "select 1/0"],
        &["rollback to a", "select 'back'"],
        &["commit", "select 1"],
        &["selec 1"],
        &["select 1", "selec 2"],
        &["select nope"],
        &["show datestyle", "set datestyle = 'ISO, DMY'", "show datestyle", "reset datestyle"],
        &["explain (costs off) select * from mine"],
        &[
            "explain (costs off) insert into mine values (1)",
            "explain (costs off, analyze, timing off, summary off) select 1",
        ],
        &["copy mine to stdout"],
        &["select 1", "copy (select 1, 'a') to stdout csv header", "select 2"],
        &["copy (select 1/0) to stdout"],
        &["do $$ begin raise notice 'n %', 1; raise warning 'w'; end $$"],
        &[
            "create function boom() returns int language plpgsql as $$ begin raise exception 'boom' using detail = 'd', hint = 'h'; end $$",
        ],
        &["select boom()"],
        &[
            "declare c cursor with hold for select * from generate_series(1, 5)",
            "fetch 2 from c",
            "move 1 in c",
            "fetch all from c",
            "close c",
        ],
        &["begin", "declare c cursor for select 1", "fetch c", "fetch c", "close c", "end"],
        &["prepare p(int) as select $1 + 1", "execute p(1)", "deallocate p"],
        &["create temp table t2 as select 1 as a", "select * from t2", "drop table t2"],
        &["with x as (insert into mine values (5, 'w') returning i) select * from x"],
        &["values (1, 'x'), (2, 'y')", "table mine"],
        &["select"],
        &["vacuum mine"],
        &["truncate mine", "select count(*) from mine"],
        &["create view v as select * from mine", "select * from v", "drop view v"],
        &["notify here", "select 1"],
        &["listen here", "unlisten here"],
        &["listen here"],
        &["select 1", "notify here, 'payload'"],
        &["unlisten *"],
        &["set local work_mem = '1MB'"],
        &["begin isolation level repeatable read", "show transaction_isolation", "commit"],
        &["commit"],
        &["rollback"],
        &["begin", "begin"],
        &["commit"],
        &["create table late(i int primary key deferrable initially deferred)"],
        &["insert into late values (1), (1)"],
        &["begin", "insert into late values (1), (1)", "commit"],
        &["begin", "insert into late values (2), (2)"],
        &["commit"],
        &[
            "create temp table gone(i int) on commit drop",
            "insert into gone values (1)",
            "select * from gone",
        ],
        &["select * from gone"],
        &["grant select on mine to public", "revoke all on mine from public"],
        &[
            "comment on table mine is 'x'",
            "alter table mine add column z int default 7",
            "select * from mine limit 1",
        ],
        &[
            "merge into mine using (values (1)) s(i) on mine.i = s.i when not matched then insert values (s.i, 'm', 0)",
        ],
        &["discard plans", "discard temp"],
        &["checkpoint"],
        &["select set_config('application_name', 'other', false)"],
        &["set application_name = 'x'", "select current_setting('application_name')"],
        &["lock table mine"],
        &["drop function boom()", "drop table late"],
    ];
    // A database each, so that neither hears the other's notifications.
    let [mut direct, mut other] = ["direct", "other"].map(|database| {
        Client::connect().query(&format!("create database {database}")).unwrap();
        let params: [(&[u8], &[u8]); 2] = [(b"user", b"postgres"), (b"database", database.as_bytes())];
        Client::connect_to(crate::client::server().port, &params)
    });
    for statements in texts {
        let parses = !statements.iter().any(|sql| sql.contains("selec "));
        let expect = as_query(&mut direct, statements);
        let got = as_pipeline(&mut other, statements, parses);
        assert_eq!(got, expect, "{statements:?}");
        assert_eq!(direct.session.tx(), other.session.tx(), "{statements:?}");
    }
    // The differences that the documentation names; newer servers have none of them.
    let major = direct.query("show server_version_num").unwrap()[0][0].clone().unwrap();
    let newer = String::from_utf8(major).unwrap().parse::<u32>().unwrap() >= 170_000;
    for (statements, query_says, pipeline_says) in [
        (&["analyze mine", "vacuum mine"][..], "cannot run inside a transaction block", "within a pipeline"),
        (&["set transaction isolation level serializable"], "SET", "can only be used in transaction blocks"),
    ] {
        let has = |seen: Vec<String>, text: &str| seen.iter().any(|line| line.contains(text));
        assert!(has(as_query(&mut direct, statements), query_says));
        assert!(newer || has(as_pipeline(&mut other, statements, true), pipeline_says));
    }
}
