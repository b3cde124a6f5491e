"""pg8000: the protocol in pure Python."""
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
c.close()
print("conversation complete")
