"""psycopg 3 as applications use it. The environment says where the server is (PGHOST and its like)
and what is in between (HOWDAH_MODE: direct, session or transaction)."""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

MODE = os.environ["HOWDAH_MODE"]
# More than there are servers in transaction mode.
CLIENTS = 6


def connect(**more):
    return psycopg.connect(**more)


def clients():
    return [connect(autocommit=True) for _ in range(CLIENTS)]


def statements_are_prepared_and_reused():
    conns = clients()
    for conn in conns:
        conn.prepare_threshold = 2
    for turn in range(12):
        for number, conn in enumerate(conns):
            # The same names for other texts on each connection.
            row = conn.execute(f"select {number}, %s::int * 2, %s::text", (turn, "é" * turn)).fetchone()
            assert row == (number, turn * 2, "é" * turn), row
            row = conn.execute("select %s::int + 1", (turn,), prepare=True).fetchone()
            assert row == (turn + 1,), row
    for conn in conns:
        # Beyond this the oldest are closed.
        conn.prepared_max = 3
    for turn in range(24):
        for number, conn in enumerate(conns):
            row = conn.execute(f"select {turn % 8}, {number}, %s::int", (turn,), prepare=True).fetchone()
            assert row == (turn % 8, number, turn), row
        conn = conns[turn % CLIENTS]
        with conn.pipeline():
            cursors = [conn.execute(f"select {n} + %s::int", (turn,), prepare=True) for n in range(6)]
            assert [cur.fetchone()[0] for cur in cursors] == [n + turn for n in range(6)]
    for conn in conns:
        conn.close()


def values_are_the_same_as_text_and_binary():
    with connect() as conn:
        for binary in (False, True):
            with conn.cursor(binary=binary, row_factory=dict_row) as cur:
                cur.execute(
                    "select %b::int8 a, %t::numeric b, %b::bytea c, %b::int4[] d, null e, "
                    "'2024-02-29 12:00+02'::timestamptz at time zone 'UTC' f",
                    (1 << 40, "1.50", b"\0\xff", [1, None, 3]),
                )
                row = cur.fetchone()
                assert (row["a"], str(row["b"]), bytes(row["c"])) == (1 << 40, "1.50", b"\0\xff"), row
                assert (row["d"], row["e"], row["f"].hour) == ([1, None, 3], None, 10), row
        large = conn.execute("select repeat('x', 3000000), g from generate_series(1, 3) g").fetchall()
        assert [(len(text), number) for text, number in large] == [(3000000, n) for n in (1, 2, 3)]


def pipelines_fail_in_the_middle_and_go_on():
    with connect(autocommit=True) as conn:
        conn.execute("create table if not exists piped (id int primary key)")
        with conn.pipeline() as pipe:
            cursors = [conn.execute("insert into piped values (%s) returning id", (n,)) for n in range(100)]
            pipe.sync()
            assert [cur.fetchone()[0] for cur in cursors] == list(range(100))
        try:
            with conn.pipeline() as pipe:
                before = conn.execute("select 1")
                bad = conn.execute("insert into piped values (5)")
                after = conn.execute("select 2")
                pipe.sync()
        except psycopg.errors.UniqueViolation as error:
            assert "piped_pkey" in error.diag.constraint_name
        else:
            raise AssertionError("no error")
        with conn.pipeline():
            after = conn.execute("select count(*) from piped")
            again = conn.execute("select 3")
            assert (after.fetchone(), again.fetchone()) == ((100,), (3,))
        rows = []
        with conn.cursor() as cur:
            cur.executemany("insert into piped values (%s) returning id", [(n,) for n in range(200, 260)], returning=True)
            while True:
                rows.append(cur.fetchone()[0])
                if not cur.nextset():
                    break
        assert rows == list(range(200, 260)), rows
        conn.execute("drop table piped")


def copies_go_both_ways_and_break_off():
    with connect() as conn:
        conn.execute("create table copied (id int, line text)")
        for binary in ("", "(format binary)"):
            with conn.cursor().copy(f"copy copied from stdin {binary}") as copy:
                if binary:
                    copy.set_types(["int4", "text"])
                for number in range(5000):
                    copy.write_row((number, "z" * (number % 300)))
        conn.commit()
        with conn.cursor().copy("copy (select id, line from copied order by id limit 20) to stdout (format binary)") as copy:
            copy.set_types(["int4", "text"])
            assert [row[0] for row in copy.rows()] == [n // 2 for n in range(20)]
        try:
            with conn.cursor().copy("copy copied from stdin") as copy:
                copy.write_row((1, "half"))
                raise ZeroDivisionError
        except ZeroDivisionError:
            conn.rollback()
        try:
            with conn.cursor().copy("copy copied from stdin") as copy:
                copy.write("not a number\tx\n")
        except psycopg.errors.InvalidTextRepresentation:
            conn.rollback()
        # Whoever does not read a COPY to its end cancels it.
        try:
            with conn.cursor().copy("copy (select * from copied, generate_series(1, 100)) to stdout") as copy:
                copy.read()
                raise ZeroDivisionError
        except ZeroDivisionError:
            conn.rollback()
        assert conn.execute("select count(*) from copied").fetchone() == (10000,)
        conn.execute("drop table copied")


def cursors_of_the_server():
    with connect() as conn:
        with conn.cursor(name="walk") as cur:
            cur.itersize = 100
            cur.execute("select g from generate_series(1, 1000) g")
            assert sum(row[0] for row in cur) == 500500
        with conn.cursor(name="jump", scrollable=True) as cur:
            cur.execute("select g from generate_series(1, 50) g")
            cur.scroll(10)
            assert cur.fetchone() == (11,)
            cur.scroll(0, mode="absolute")
            assert cur.fetchmany(2) == [(1,), (2,)]
        conn.commit()
        held = conn.cursor(name="held", withhold=True)
        held.execute("select g from generate_series(1, 30) g")
        conn.commit()
        with connect() as other:
            other.execute("select 1")
        assert held.fetchmany(3) == [(1,), (2,), (3,)]
        held.close()
        conn.commit()


def notices_come_to_whoever_caused_them():
    conns, heard = clients(), {n: [] for n in range(CLIENTS)}
    for number, conn in enumerate(conns):
        conn.add_notice_handler(lambda diag, number=number: heard[number].append(diag.message_primary))

    def shout(number):
        for turn in range(20):
            conns[number].execute(f"do $$ begin raise notice 'of {number}: {turn}'; end $$")

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(shout, range(CLIENTS)))
    for number in range(CLIENTS):
        assert heard[number] == [f"of {number}: {turn}" for turn in range(20)], heard[number]
        conns[number].close()


def a_statement_is_cancelled_and_no_other():
    with connect(autocommit=True) as conn, connect(autocommit=True) as other:
        for cancel in (conn.cancel, conn.cancel_safe):
            def when_it_sleeps():
                seen = "select 1 from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active'"
                while not other.execute(seen).fetchone():
                    pass
                cancel()

            thread = threading.Thread(target=when_it_sleeps)
            thread.start()
            try:
                conn.execute("select pg_sleep(60)")
            except psycopg.errors.QueryCanceled:
                pass
            else:
                raise AssertionError("not cancelled")
            thread.join()
            # Too late for anything: nobody is hit.
            for _ in range(20):
                cancel()
                assert conn.execute("select 1").fetchone() == (1,)
                assert other.execute("select 1").fetchone() == (1,)
        assert conn.execute("select 2").fetchone() == (2,)


def transactions_nest_and_settings_stay():
    conns = clients()
    conns[0].execute("create table nested (id int primary key)")
    for number, conn in enumerate(conns):
        conn.execute("select set_config('app.tenant', %s, false)", (f"t{number}",))
        conn.execute(f"set statement_timeout = '{number + 10}s'")
    for number, conn in enumerate(conns):
        with conn.transaction():
            conn.execute("insert into nested values (%s)", (number,))
            try:
                with conn.transaction():
                    conn.execute("insert into nested values (%s)", (number,))
            except psycopg.errors.UniqueViolation:
                pass
            conn.execute("insert into nested values (%s)", (number + 100,))
        row = conn.execute("select current_setting('app.tenant'), current_setting('statement_timeout')").fetchone()
        assert row == (f"t{number}", f"{number + 10}s"), row
    assert conns[1].execute("select count(*) from nested").fetchone() == (2 * CLIENTS,)
    conns[0].execute("drop table nested")
    strict = connect()
    strict.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
    strict.read_only = True
    assert strict.execute("show transaction_isolation").fetchone() == ("serializable",)
    try:
        strict.execute("create table no_one (id int)")
    except psycopg.errors.ReadOnlySqlTransaction:
        strict.rollback()
    for conn in [*conns, strict]:
        conn.close()


def notifications_arrive():
    with connect(autocommit=True) as hears, connect(autocommit=True) as says:
        hears.execute("listen news")
        for number in range(3):
            says.execute("select pg_notify('news', %s)", (str(number),))
        got = [n.payload for n in hears.notifies(timeout=20, stop_after=3)]
        assert got == ["0", "1", "2"], got
        hears.execute("unlisten *")


def a_pool_lends_connections_that_are_clean():
    def configure(conn):
        conn.execute("set application_name = 'of the pool'")
        conn.commit()

    with ConnectionPool(min_size=CLIENTS, max_size=CLIENTS, configure=configure, check=ConnectionPool.check_connection) as pool:
        pool.wait(20)

        def work(number):
            with pool.connection() as conn:
                row = conn.execute("select current_setting('application_name'), %s::int", (number,)).fetchone()
                assert row == ("of the pool", number), row
                if number % 7 == 0:
                    raise KeyError(number)

        failed = 0
        with ThreadPoolExecutor(12) as threads:
            for done in [threads.submit(work, number) for number in range(200)]:
                failed += isinstance(done.exception(), KeyError)
                assert done.exception() is None or isinstance(done.exception(), KeyError), done.exception()
        assert failed == 29, failed


def what_a_session_has_stays_with_it():
    with connect(autocommit=True) as conn, connect(autocommit=True) as other:
        conn.execute("create temp table mine as select 7 as id")
        conn.execute("select pg_advisory_lock(77)")
        conn.execute("prepare by_sql as select 8")
        for _ in range(5):
            assert other.execute("select to_regclass('mine')").fetchone() == (None,)
            assert other.execute("select pg_try_advisory_lock(77)").fetchone() == (False,)
            assert conn.execute("select id from mine").fetchone() == (7,)
            assert conn.execute("execute by_sql").fetchone() == (8,)
        conn.execute("discard all")
        assert other.execute("select pg_try_advisory_lock(77)").fetchone() == (True,)
        other.execute("select pg_advisory_unlock(77)")


async def many_at_once():
    async def one(number):
        async with await psycopg.AsyncConnection.connect() as conn:
            for turn in range(10):
                async with conn.transaction():
                    cur = await conn.execute("select %s::int + %s", (number, turn))
                    assert await cur.fetchone() == (number + turn,)

    await asyncio.gather(*[one(number) for number in range(CLIENTS)])


def what_is_different_by_design():
    """docs/drivers.md says so."""
    with connect(autocommit=True, prepare_threshold=0) as conn:
        conn.execute("select %s::int", (1,))
        names = [name for (name,) in conn.execute("select name from pg_prepared_statements", prepare=False)]
        ours = any(name.startswith("_pg3_") for name in names)
        assert ours == (MODE == "direct"), names
        same = conn.execute("select pg_backend_pid()").fetchone() == (conn.info.backend_pid,)
        assert same == (MODE == "direct"), conn.info.backend_pid
        unset = conn.execute("select current_setting('app.never', true)").fetchone()
        assert unset == (None,), unset
    with connect(autocommit=True) as conn:
        conn.execute("set app.once = 'x'")
        with connect(autocommit=True) as other:
            unset = other.execute("select current_setting('app.once', true)").fetchone()
            assert unset == (None,) or MODE == "transaction" and unset == ("",), unset


for test in (
    statements_are_prepared_and_reused,
    values_are_the_same_as_text_and_binary,
    pipelines_fail_in_the_middle_and_go_on,
    copies_go_both_ways_and_break_off,
    cursors_of_the_server,
    notices_come_to_whoever_caused_them,
    a_statement_is_cancelled_and_no_other,
    transactions_nest_and_settings_stay,
    notifications_arrive,
    a_pool_lends_connections_that_are_clean,
    what_a_session_has_stays_with_it,
    what_is_different_by_design,
):
    print(test.__name__, flush=True)
    test()
asyncio.run(many_at_once())
print("psycopg", psycopg.__version__)
