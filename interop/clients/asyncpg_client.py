"""asyncpg: binary format throughout, its own introspection of types, pools, COPY, prepared statements."""
import asyncio
import os
import asyncpg

RAW = "402-81-1957"


async def main():
    c = await asyncpg.connect(os.environ["DATABASE_URL"])
    assert await c.fetchval("SELECT $1::int + 1", 41) == 42
    assert await c.fetchval("SELECT $1::text[]", ["a", "b"]) == ["a", "b"]
    masked = await c.fetchval("SELECT ssn FROM customers WHERE id = $1", 3)
    assert masked and masked != RAW, masked
    for _ in range(2):
        try:
            await c.execute("DROP TABLE orders")
            raise AssertionError("not refused")
        except asyncpg.InsufficientPrivilegeError as error:
            assert error.sqlstate == "42501"
        assert await c.fetchval("SELECT count(*) FROM customers") == 5
    transaction = c.transaction()
    await transaction.start()
    try:
        await c.execute("DROP TABLE orders")
    except asyncpg.InsufficientPrivilegeError:
        pass
    try:
        await c.fetchval("SELECT 1")
        raise AssertionError("the transaction has not failed")
    except asyncpg.InFailedSQLTransactionError:
        pass
    await transaction.rollback()
    async with c.transaction():
        total = 0
        async for row in c.cursor("SELECT g FROM generate_series(1, 5000) AS g", prefetch=500):
            total += row[0]
        assert total == 12502500
    prepared = await c.prepare("SELECT amount FROM orders WHERE id = $1")
    for n in range(10):
        assert await prepared.fetchval(1 + n % 6) is not None
    await c.copy_records_to_table("pad", records=[(f"async {n}",) for n in range(200)], columns=["t"])
    got = bytearray()
    await c.copy_from_query("SELECT id, ssn FROM customers", output=lambda data: take(got, data), format="csv")
    assert got.count(b"\n") == 5 and RAW.encode() not in got
    await c.close()
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=2, max_size=4) as pool:
        assert sorted(await asyncio.gather(*(pool.fetchval("SELECT $1::int", n) for n in range(20)))) == list(range(20))
    print("conversation complete")


async def take(got, data):
    got.extend(data)


asyncio.run(main())
