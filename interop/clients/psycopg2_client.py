"""psycopg2: the simple protocol, client-side parameters, copy_expert, named cursors."""
import io
import os
import psycopg2

RAW = "402-81-1957"
c = psycopg2.connect(os.environ["DATABASE_URL"])
c.autocommit = True
cur = c.cursor()


def refused(sql):
    try:
        cur.execute(sql)
    except psycopg2.Error as error:
        return error.pgcode
    raise AssertionError(f"not refused: {sql}")


cur.execute("SELECT %s + 1, %s", (41, "it's"))
assert cur.fetchone() == (42, "it's")
cur.execute("SELECT ssn FROM customers WHERE id = %s", (3,))
masked = cur.fetchone()[0]
assert masked and masked != RAW, masked
assert refused("DROP TABLE orders") == "42501"
cur.execute("SELECT count(*) FROM customers")
assert cur.fetchone() == (5,)
c.autocommit = False
assert refused("DROP TABLE orders") == "42501"
assert refused("SELECT 1") == "25P02"
c.rollback()
cur.execute("INSERT INTO pad (t) VALUES (%s) RETURNING id", ("psycopg2",))
assert cur.fetchone()[0] > 0
c.commit()
with c.cursor("walk") as walk:
    walk.itersize = 500
    walk.execute("SELECT g FROM generate_series(1, 5000) AS g")
    assert sum(row[0] for row in walk) == 12502500
c.commit()
cur.copy_expert("COPY pad (t) FROM STDIN", io.StringIO("".join(f"two {n}\n" for n in range(200))))
c.commit()
out = io.StringIO()
cur.copy_expert("COPY (SELECT id, ssn FROM customers) TO STDOUT WITH CSV HEADER", out)
assert out.getvalue().count("\n") == 6 and RAW not in out.getvalue()
c.close()
print("conversation complete")
