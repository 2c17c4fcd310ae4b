"""psycopg2 as applications use it: everything by simple queries. The environment says where the
server is (PGHOST and its like) and what is in between (HOWDAH_MODE)."""

import io
import os
import select
import threading

import psycopg2
import psycopg2.errors
import psycopg2.extensions
import psycopg2.extras
import psycopg2.pool

MODE = os.environ["HOWDAH_MODE"]
CLIENTS = 6


def connect(autocommit=False):
    conn = psycopg2.connect("")
    conn.autocommit = autocommit
    return conn


def one(conn, sql, values=None):
    with conn.cursor() as cur:
        cur.execute(sql, values)
        return cur.fetchone()


def named_cursors_walk_in_and_beyond_transactions():
    conn = connect()
    with conn.cursor("walk") as cur:
        cur.itersize = 70
        cur.execute("select g, repeat('x', 500) from generate_series(1, 1000) g")
        assert sum(row[0] for row in cur) == 500500
    conn.commit()
    held = conn.cursor("held", withhold=True)
    held.execute("select g from generate_series(1, 100) g")
    conn.commit()
    others = [connect(autocommit=True) for _ in range(CLIENTS)]
    for number, other in enumerate(others):
        assert one(other, "select %s", (number,)) == (number,)
        assert held.fetchone() == (number + 1,)
    held.close()
    conn.close()


def copies_go_both_ways_and_break_off():
    conn = connect()
    cur = conn.cursor()
    cur.execute("create table copied2 (id int, line text)")
    text = "".join(f"{n}\t{'y' * (n % 200)}\n" for n in range(20000))
    cur.copy_expert("copy copied2 from stdin", io.StringIO(text))
    assert cur.rowcount == 20000
    out = io.StringIO()
    cur.copy_expert("copy (select * from copied2 order by id) to stdout", out)
    assert out.getvalue() == text
    conn.commit()
    try:
        cur.copy_from(io.StringIO("1\ta\nbad\tb\n"), "copied2")
    except psycopg2.errors.InvalidTextRepresentation as error:
        assert "line 2" in error.diag.context, error.diag.context
        conn.rollback()

    class Breaks:
        def read(self, size):
            raise KeyError("no more")

    try:
        cur.copy_expert("copy copied2 from stdin", Breaks())
    except psycopg2.errors.QueryCanceled:
        conn.rollback()
    assert one(conn, "select count(*) from copied2") == (20000,)
    cur.execute("drop table copied2")
    conn.commit()
    conn.close()


def errors_abort_and_rollback_mends():
    conn = connect()
    try:
        one(conn, "select 1 / 0")
    except psycopg2.errors.DivisionByZero as error:
        assert error.pgcode == "22012"
    try:
        one(conn, "select 1")
    except psycopg2.errors.InFailedSqlTransaction:
        pass
    conn.rollback()
    assert one(conn, "select 1") == (1,)
    conn.rollback()
    conn.autocommit = True
    try:
        one(conn, "select 1; select 1 / 0; select 2")
    except psycopg2.errors.DivisionByZero:
        pass
    assert one(conn, "select 1; select 3") == (3,)
    conn.close()


def sessions_have_their_own_settings():
    conns = [connect() for _ in range(CLIENTS)]
    for number, conn in enumerate(conns):
        conn.set_session(isolation_level="REPEATABLE READ", readonly=number % 2 == 0)
        conn.set_client_encoding("LATIN1" if number % 3 == 0 else "UTF8")
    for _ in range(3):
        for number, conn in enumerate(conns):
            got = one(conn, "select 'ü', current_setting('transaction_isolation'), current_setting('transaction_read_only')")
            assert got == ("ü", "repeatable read", "on" if number % 2 == 0 else "off"), got
            conn.rollback()
    for conn in conns:
        conn.reset()
        conn.close()


def notices_and_notifications():
    conn, other = connect(autocommit=True), connect(autocommit=True)
    one(conn, "do $$ begin raise warning 'careful'; end $$; select 1")
    assert conn.notices[-1] == "WARNING:  careful\n", conn.notices
    one(conn, "listen words; select 1")
    one(other, "select pg_notify('words', 'hello')")
    while not conn.notifies:
        assert select.select([conn], [], [], 20)[0], "not in time"
        conn.poll()
    assert conn.notifies[0].payload == "hello"
    one(conn, "unlisten *; select 1")
    conn.close()


def a_statement_is_cancelled():
    conn, other = connect(autocommit=True), connect(autocommit=True)

    def cancel():
        seen = "select 1 from pg_stat_activity where query = 'select pg_sleep(61)' and state = 'active'"
        while not one(other, seen):
            pass
        conn.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        one(conn, "select pg_sleep(61)")
    except psycopg2.errors.QueryCanceled:
        pass
    else:
        raise AssertionError("not cancelled")
    thread.join()
    assert (one(conn, "select 1"), one(other, "select 2")) == ((1,), (2,))


def many_rows_at_once():
    conn = connect()
    cur = conn.cursor()
    cur.execute("create temp table many (id int, v text)")
    psycopg2.extras.execute_values(cur, "insert into many values %s", [(n, "v" * n) for n in range(2000)], page_size=500)
    psycopg2.extras.execute_batch(cur, "update many set v = %s where id = %s", [("w", n) for n in range(300)])
    assert one(conn, "select count(*), count(*) filter (where v = 'w') from many") == (2000, 300)
    conn.close()


def large_objects_in_a_transaction():
    conn = connect()
    thing = conn.lobject(0, "wb")
    thing.write(b"\0\1" * 100000)
    number = thing.oid
    thing.close()
    conn.commit()
    thing = conn.lobject(number, "rb")
    thing.seek(199990)
    assert thing.read() == b"\0\1" * 5
    thing.unlink()
    conn.commit()
    conn.close()


def a_pool_of_threads():
    pool = psycopg2.pool.ThreadedConnectionPool(2, CLIENTS, "")
    wrong = []

    def work(number):
        for turn in range(20):
            conn = pool.getconn()
            try:
                with conn:
                    got = one(conn, "select %s, %s", (number, turn))
                    if got != (number, turn):
                        wrong.append(got)
            finally:
                pool.putconn(conn)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pool.closeall()
    assert not wrong, wrong


for test in (
    named_cursors_walk_in_and_beyond_transactions,
    copies_go_both_ways_and_break_off,
    errors_abort_and_rollback_mends,
    sessions_have_their_own_settings,
    notices_and_notifications,
    a_statement_is_cancelled,
    many_rows_at_once,
    large_objects_in_a_transaction,
    a_pool_of_threads,
):
    print(test.__name__, flush=True)
    test()
print("psycopg2", psycopg2.__version__)
