"""pg8000: the protocol in pure Python; a cursor, COPY."""
import io
import os
from urllib.parse import urlsplit
import pg8000.dbapi

RAW = "402-81-1957"
url = urlsplit(os.environ["DATABASE_URL"])
c = pg8000.dbapi.connect(user=url.username, password=url.password, host=url.hostname, port=url.port, database=url.path[1:])
cur = c.cursor()


def refused(sql):
    try:
        cur.execute(sql)
    except pg8000.dbapi.Error as error:
        return error.args[0]["C"]
    raise AssertionError(f"not refused: {sql}")


cur.execute("SELECT cast(%s AS int) + 1, cast(%s AS text)", (41, "it's"))
assert cur.fetchone() == [42, "it's"]
cur.execute("SELECT ssn FROM customers WHERE id = %s", (3,))
masked = cur.fetchone()[0]
assert masked and masked != RAW, masked
c.commit()
assert refused("DROP TABLE orders") == "42501"
assert refused("SELECT 1") == "25P02"
c.rollback()
cur.execute("SELECT count(*) FROM customers")
assert cur.fetchone() == [5]
cur.executemany("INSERT INTO pad (t) VALUES (%s)", [(f"pure {n}",) for n in range(20)])
c.commit()
cur.execute("DECLARE served CURSOR FOR SELECT id, ssn FROM customers ORDER BY id")
cur.execute("FETCH 3 FROM served")
rows = cur.fetchall()
assert len(rows) == 3 and RAW not in str(rows), rows
c.rollback()
cur.execute("COPY pad (t) FROM STDIN", stream=io.BytesIO(b"".join(b"pure copied %d\n" % n for n in range(200))))
c.commit()
out = io.BytesIO()
cur.execute("COPY (SELECT id, ssn FROM customers) TO STDOUT (FORMAT csv)", stream=out)
assert out.getvalue().count(b"\n") == 5 and RAW.encode() not in out.getvalue()
c.rollback()
c.close()
print("conversation complete")
