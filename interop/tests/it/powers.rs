//! What `tacho check` says of the upstream's login (DESIGN section 8, L0): whom it lets pass, and whom it does not.

use crate::world::{UPSTREAM_PASSWORD, own_site, upstream};

/// A login, what makes it what it is, the exit code, and what is said of it.
const LOGINS: &[(&str, &str, i32, &str)] = &[
    ("plain", "", 0, "is no superuser or owner"),
    ("super", "ALTER ROLE powers_super SUPERUSER", 1, "WRONG  powers_super is a superuser: "),
    ("boss", "GRANT powers_super TO powers_boss", 1, "WRONG  powers_boss may become a superuser"),
    (
        "deep",
        "CREATE ROLE powers_between NOINHERIT; GRANT powers_super TO powers_between; \
         ALTER ROLE powers_deep NOINHERIT; GRANT powers_between TO powers_deep",
        1,
        "WRONG  powers_deep may become a superuser",
    ),
    ("copier", "ALTER ROLE powers_copier REPLICATION", 1, "WRONG  powers_copier may replicate: "),
    ("copied", "GRANT powers_copier TO powers_copied", 1, "WRONG  powers_copied may replicate: "),
    (
        "reader",
        "GRANT pg_read_server_files TO powers_reader",
        1,
        "WRONG  powers_reader reads or writes files",
    ),
    (
        "writer",
        "GRANT pg_write_server_files TO powers_writer",
        1,
        "WRONG  powers_writer reads or writes files",
    ),
    (
        "runner",
        "CREATE ROLE powers_programs; GRANT pg_execute_server_program TO powers_programs; \
         ALTER ROLE powers_runner NOINHERIT; GRANT powers_programs TO powers_runner",
        1,
        "WRONG  powers_runner reads or writes files of its host, or runs programs there: ",
    ),
    (
        "owner",
        "ALTER TABLE customers OWNER TO powers_owner",
        1,
        "WRONG  powers_owner owns governed tables or views: ",
    ),
    ("owned", "GRANT powers_owner TO powers_owned", 1, "WRONG  powers_owned owns governed tables or views: "),
    (
        "viewer",
        "CREATE VIEW seen AS SELECT ssn FROM customers; ALTER VIEW seen OWNER TO powers_viewer",
        1,
        "WRONG  powers_viewer owns governed tables or views: ",
    ),
    // More than an agent needs, and no way past the masks.
    ("other", "ALTER TABLE pad OWNER TO powers_other", 0, "weak   powers_other owns other tables or views"),
    ("rows", "ALTER ROLE powers_rows BYPASSRLS", 0, "weak   powers_rows bypasses row security"),
    ("maker", "ALTER ROLE powers_maker CREATEROLE", 0, "weak   powers_maker makes roles"),
];

#[test]
fn a_login_that_gets_past_the_masks_is_a_no() {
    let site = own_site("powers", |plan| plan.durability = "os".to_owned());
    let (port, ca) = (upstream().port, upstream().ca().unwrap());
    for (name, make, code, expect) in LOGINS {
        let sql = format!("CREATE ROLE powers_{name} LOGIN PASSWORD '{UPSTREAM_PASSWORD}'; {make}");
        upstream().admin("powers", &sql).unwrap();
        let proof = format!("sslmode=verify-full&sslrootcert={}", ca.display());
        site.reach(&format!("powers_{name}@localhost:{port}/powers?{proof}")).unwrap();
        let said = site.check().unwrap();
        assert_eq!(said.status.code(), Some(*code), "{name}: {}", said.all());
        assert!(said.out().contains(expect), "{name}: {}", said.all());
        let of_login = said.out().lines().filter(|line| line.contains(&format!("  powers_{name} "))).count();
        assert_eq!(of_login, 1, "{name}: {}", said.all());
    }
}
