"""SQLAlchemy 2 over psycopg: inspection, the ORM, transactions and savepoints, a server's cursor, COPY."""
import os
import sqlalchemy as sa
from sqlalchemy import orm

RAW = "402-81-1957"
url = sa.make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+psycopg")
engine = sa.create_engine(url)
inspector = sa.inspect(engine)
assert {"customers", "orders", "pad"} <= set(inspector.get_table_names())
assert inspector.get_pk_constraint("customers")["constrained_columns"] == ["id"]
assert inspector.get_foreign_keys("orders")[0]["referred_table"] == "customers"


class Base(orm.DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customers"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str]
    ssn: orm.Mapped[str]
    city: orm.Mapped[str]


class Order(Base):
    __tablename__ = "orders"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    customer_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("customers.id"))
    amount: orm.Mapped[float]
    customer: orm.Mapped[Customer] = orm.relationship()


class Pad(Base):
    __tablename__ = "pad"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    t: orm.Mapped[str]


with orm.Session(engine) as session:
    order = session.scalars(sa.select(Order).where(Order.id == 3)).one()
    assert order.customer.name == "Chiara Lund"
    assert order.customer.ssn and order.customer.ssn != RAW
    total = session.scalar(sa.select(sa.func.sum(Order.amount)).join(Customer).where(Customer.city == "Leeds"))
    assert float(total) == 138.99
with orm.Session(engine) as session:
    session.add_all([Pad(t=f"orm {n}") for n in range(20)])
    with session.begin_nested() as savepoint:
        try:
            session.execute(sa.text("DROP TABLE orders"))
            raise AssertionError("not refused")
        except sa.exc.ProgrammingError as error:
            assert error.orig.sqlstate == "42501"
        savepoint.rollback()
    assert session.scalar(sa.select(sa.func.count()).select_from(Pad).where(Pad.t.like("orm %"))) >= 20
    session.commit()
with engine.begin() as c:
    # `stream_results` names its cursor after an address in memory: another one in each process.
    c.execute(sa.text("DECLARE served CURSOR FOR SELECT id, ssn FROM customers ORDER BY id"))
    rows = c.execute(sa.text("FETCH 3 FROM served")).all() + c.execute(sa.text("FETCH ALL FROM served")).all()
    assert [row.id for row in rows] == [1, 2, 3, 4, 5] and RAW not in str(rows), rows
    with c.connection.cursor().copy("COPY pad (t) FROM STDIN") as copy:
        for n in range(200):
            copy.write_row((f"orm copied {n}",))
    with c.connection.cursor().copy("COPY (SELECT ssn FROM customers) TO STDOUT (FORMAT csv)") as copy:
        assert RAW not in b"".join(bytes(piece) for piece in copy).decode()
print("conversation complete")
