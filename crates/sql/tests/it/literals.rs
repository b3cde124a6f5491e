//! A statement's text is masked before it is recorded: every constant and comment is a field.

use sql::{LiteralKind, literals_of, masked_literals, parse};

const SECRET: &str = "536904399";

#[test]
fn masked_text_never_holds_a_literal() {
    let forms = [
        "SELECT '536904399'",
        "SELECT E'\\t536904399'",
        "SELECT U&'536904399'",
        "SELECT U&'536904399' UESCAPE '!'",
        "SELECT $$536904399$$",
        "SELECT $a$536904399$a$",
        "SELECT N'536904399'",
        "SELECT 536904399",
        "SELECT -536904399",
        "SELECT 536904399.5, 1e5",
        "SELECT B'1010', X'536904399'",
        "SELECT 1 -- 536904399",
        "SELECT 1 /* 536904399 /* 536904399 */ */",
        "SELECT '1'\n'536904399'",
        "SELECT * FROM customers WHERE ssn = '536904399' LIMIT 536904399",
        "SET application_name = '536904399'",
        "ALTER ROLE agent PASSWORD '536904399'",
        "COPY orders FROM STDIN WITH (DELIMITER ',', NULL '536904399')",
        "NOTIFY k, '536904399'",
        "PREPARE p AS SELECT 536904399; EXECUTE p(536904399)",
        "COMMENT ON TABLE orders IS '536904399'",
        "SELECT interval '536904399' day, date '536904399'",
        "DO $x$BEGIN RAISE NOTICE '536904399'; END$x$",
        "INSERT INTO orders VALUES (536904399, '536904399')",
    ];
    for text in forms {
        for statement in parse(text).unwrap() {
            let mut masked = statement.text().to_owned();
            for range in masked_literals(&statement).into_iter().rev() {
                masked.replace_range(range, "?");
            }
            assert!(!masked.contains(SECRET), "{text} became {masked}");
        }
    }
}

#[test]
fn a_text_that_does_not_parse_still_gives_its_literals() {
    let found = literals_of("SELEC 'x', 5").unwrap();
    assert_eq!(found.iter().map(|l| l.kind).collect::<Vec<_>>(), [LiteralKind::Str, LiteralKind::Int]);
    assert_eq!(literals_of("SELECT 'never closed"), None);
}

#[test]
fn literals_are_in_bytes_of_their_own_statement() {
    let statements = parse("SELECT 'ä'; SELECT 'b', $2").unwrap();
    let second = &statements[1];
    assert_eq!(&second.text()[second.literals()[0].range.clone()], "'b'");
    assert_eq!(second.parameters(), 2);
}
