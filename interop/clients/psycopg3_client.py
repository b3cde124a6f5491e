"""psycopg 3: simple and extended protocol, text and binary, pipeline, COPY."""
import os
import psycopg

RAW = "402-81-1957"


def refused(cursor, sql):
    try:
        cursor.execute(sql)
    except psycopg.Error as error:
        return error.sqlstate
    raise AssertionError(f"not refused: {sql}")


with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as c:
    for binary in (False, True):
        cur = c.cursor(binary=binary)
        assert cur.execute("SELECT 1 + 1").fetchone() == (2,)
        assert cur.execute("SELECT %s::int + 1, %s::text, %s::bytea", (41, "gr\u00fc\u00df", b"\x00\xff")).fetchone() == (42, "gr\u00fc\u00df", b"\x00\xff")
        masked = cur.execute("SELECT ssn FROM customers WHERE id = %s", (3,)).fetchone()[0]
        assert masked and masked != RAW, masked
        assert refused(cur, "DROP TABLE orders") == "42501"
        assert cur.execute("SELECT count(*) FROM customers").fetchone() == (5,)
    for n in range(10):
        assert c.execute("SELECT amount FROM orders WHERE id = %s", (1 + n % 6,), prepare=True).fetchone()
    with c.transaction():
        c.execute("INSERT INTO pad (t) VALUES (%s)", ("psycopg3",))
    try:
        with c.transaction():
            cur = c.cursor()
            assert refused(cur, "DROP TABLE orders") == "42501"
            assert refused(cur, "SELECT 1") == "25P02"
            raise psycopg.Rollback()
    except psycopg.Rollback:
        pass
    assert c.execute("SELECT 7").fetchone() == (7,)
    with c.transaction(), c.pipeline():
        answers = [c.execute("SELECT %s::int * 2", (n,)) for n in range(20)]
    assert [a.fetchone()[0] for a in answers] == [n * 2 for n in range(20)]
    with c.transaction(), c.cursor("served") as cur:
        cur.itersize = 2
        cur.execute("SELECT id, ssn FROM customers ORDER BY id")
        rows = cur.fetchall()
        assert [row[0] for row in rows] == [1, 2, 3, 4, 5] and RAW not in str(rows), rows
    cur = c.cursor()
    with cur.copy("COPY pad (t) FROM STDIN") as copy:
        for n in range(200):
            copy.write_row((f"copied {n}",))
    with cur.copy("COPY (SELECT t FROM pad WHERE t LIKE 'copied %' ORDER BY id) TO STDOUT") as copy:
        assert sum(1 for _ in copy.rows()) >= 200
    with cur.copy("COPY (SELECT ssn FROM customers) TO STDOUT (FORMAT csv)") as copy:
        assert RAW not in b"".join(bytes(piece) for piece in copy).decode()
print("conversation complete")
