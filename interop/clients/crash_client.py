"""Writes what a crash may interrupt: four sessions, two of them in transactions of which every third goes back. Prints what it was
told, a line each: `committed MARK` or `back MARK`. A mark is the row's text and the name of the answer's column."""
import os
import threading
import psycopg


def told(word, marks):
    os.write(1, "".join(f"{word} {mark}\n" for mark in marks).encode())


def write(name, several):
    try:
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as c:
            for n in range(1, 2001):
                marks = [f"mark_{name}_{n}_{i}" for i in range(3 if several else 1)]
                back = several and n % 3 == 0
                if several:
                    c.execute("BEGIN")
                for mark in marks:
                    c.execute(f"INSERT INTO pad (t) VALUES ('{mark}') RETURNING id AS {mark}")
                if several:
                    c.execute("ROLLBACK" if back else "COMMIT")
                told("back" if back else "committed", marks)
    except psycopg.Error:
        pass


sessions = [threading.Thread(target=write, args=(name, name > "b")) for name in "abcd"]
for session in sessions:
    session.start()
for session in sessions:
    session.join()
