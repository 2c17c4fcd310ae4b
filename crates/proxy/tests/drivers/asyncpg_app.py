"""asyncpg as applications use it, with its statement cache. The environment says where the server is
(PGHOST and its like) and what is in between (HOWDAH_MODE)."""

import asyncio
import json
import os

import asyncpg

MODE = os.environ["HOWDAH_MODE"]
CLIENTS = 6


async def connect(**more):
    return await asyncpg.connect(**more)


async def statements_are_cached_on_every_connection():
    conns = [await connect() for _ in range(CLIENTS)]

    async def one(number, conn):
        for turn in range(40):
            assert await conn.fetchval(f"select {number % 3} + $1::int + $2", turn, number) == number % 3 + turn + number
            assert await conn.fetch("select g, $1::text t from generate_series(1, 3) g", "é") == [(1, "é"), (2, "é"), (3, "é")]

    await asyncio.gather(*[one(number, conn) for number, conn in enumerate(conns)])
    prepared = []
    for number, conn in enumerate(conns):
        # Until it is used its batch is not over, and its server stays with it (docs/drivers.md).
        statement = await conn.prepare("select $1::int8 * 3")
        assert await statement.fetchval(number) == number * 3
        prepared.append(statement)
    for number, statement in enumerate(prepared):
        assert await statement.fetchval(number + 1) == number * 3 + 3
        assert [p.name for p in statement.get_parameters()] == ["int8"]
    for conn in conns:
        await conn.close()


async def a_pool_resets_what_it_lends():
    async def greet(conn):
        await conn.execute("set lock_timeout = '9s'")

    async with asyncpg.create_pool(min_size=CLIENTS, max_size=CLIENTS, setup=greet) as pool:
        async def work(number):
            async with pool.acquire() as conn:
                assert await conn.fetchval("show lock_timeout") == "9s"
                assert await conn.fetchval("show work_mem") == "4MB"
                assert await conn.fetchval("select coalesce(current_setting('app.who', true), '')") == ""
                await conn.execute("set work_mem = '11MB'")
                await conn.execute("select set_config('app.who', $1, false)", str(number))
                async with conn.transaction():
                    assert await conn.fetchval("select current_setting('app.who')") == str(number)
                assert await conn.fetchval("show work_mem") == "11MB"

        await asyncio.gather(*[work(number) for number in range(100)])


async def copies_go_both_ways_and_break_off():
    conn = await connect()
    await conn.execute("create table copied3 (id int, line text, at timestamptz default now())")
    records = [(n, "c" * (n % 100)) for n in range(10000)]
    assert await conn.copy_records_to_table("copied3", records=records, columns=["id", "line"]) == "COPY 10000"

    class Out(bytearray):
        async def __call__(self, data):
            self.extend(data)

    out = Out()
    await conn.copy_from_query("select id from copied3 where id < $1 order by id", 5, output=out)
    assert bytes(out) == b"0\n1\n2\n3\n4\n"
    try:
        await conn.copy_records_to_table("copied3", records=[(1, "a"), ("b", "c")], columns=["id", "line"])
    except (asyncpg.DataError, TypeError):
        pass
    else:
        raise AssertionError("no error")
    assert await conn.fetchval("select count(*) from copied3") == 10000
    await conn.execute("drop table copied3")
    await conn.close()


async def what_takes_too_long_is_cancelled():
    conn, other = await connect(), await connect()
    for _ in range(3):
        try:
            await conn.fetch("select pg_sleep(60)", timeout=0.05)
        except asyncio.TimeoutError:
            pass
        else:
            raise AssertionError("in time")
        assert await other.fetchval("select 1") == 1
        assert await conn.fetchval("select 2") == 2
    task = asyncio.create_task(conn.fetch("select pg_sleep(62)"))
    seen = "select count(*) from pg_stat_activity where query = 'select pg_sleep(62)' and state = 'active'"
    while not await other.fetchval(seen):
        pass
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
    assert await conn.fetchval("select 3") == 3
    await conn.close()
    await other.close()


async def listeners_hear():
    conn, other = await connect(), await connect()
    heard = asyncio.Queue()
    await conn.add_listener("talk", lambda *args: heard.put_nowait(args[2:]))
    await other.execute("select pg_notify('talk', 'one')")
    assert await asyncio.wait_for(heard.get(), 20) == ("talk", "one")
    await conn.remove_listener("talk", heard.put_nowait)
    await conn.reset()
    await conn.close()
    await other.close()


async def notices_are_logged():
    conn, heard = await connect(), []
    conn.add_log_listener(lambda _, message: heard.append(message.message))
    await conn.execute("do $$ begin raise notice 'look'; end $$")
    await conn.fetch("select 1")
    assert heard == ["look"], heard
    await conn.close()


async def transactions_cursors_and_errors():
    conn = await connect()
    await conn.execute("create table steps (id int primary key)")
    try:
        async with conn.transaction(isolation="serializable"):
            await conn.executemany("insert into steps values ($1)", [(n,) for n in range(500)])
            try:
                async with conn.transaction():
                    await conn.execute("insert into steps values (3)")
            except asyncpg.UniqueViolationError as error:
                assert error.constraint_name == "steps_pkey"
            total = 0
            async for row in conn.cursor("select id from steps order by id", prefetch=33):
                total += row["id"]
            assert total == 124750
            cursor = await conn.cursor("select id from steps order by id")
            await cursor.forward(10)
            assert [row["id"] for row in await cursor.fetch(2)] == [10, 11]
            raise KeyError
    except KeyError:
        pass
    assert await conn.fetchval("select count(*) from steps") == 0
    try:
        await conn.executemany("insert into steps values ($1)", [(1,), (2,), (1,), (4,)])
    except asyncpg.UniqueViolationError:
        pass
    assert await conn.fetchval("select count(*) from steps") == 0
    await conn.execute("drop table steps")
    await conn.close()


async def types_of_the_users_own():
    conn = await connect(server_settings={"application_name": "typed", "search_path": "own, public"})
    await conn.execute("create schema if not exists own")
    await conn.execute("create type own.mood as enum ('sad', 'glad'); create type own.pair as (a int, b text)")
    assert await conn.fetchval("select 'glad'::mood") == "glad"
    assert await conn.fetchval("select array[row(1, 'x')::pair]") == [(1, "x")]
    await conn.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
    assert await conn.fetchval("select $1::jsonb || '{\"b\": 2}'", {"a": 1}) == {"a": 1, "b": 2}
    assert await conn.fetchval("show application_name") == "typed"
    large = await conn.fetchrow("select $1::bytea, repeat('q', 2000000)", b"\xfe" * 1000000)
    assert (len(large[0]), len(large[1])) == (1000000, 2000000)
    await conn.execute("drop schema own cascade")
    await conn.close()


async def a_batch_that_is_not_over_keeps_its_server():
    """docs/drivers.md says so."""
    one, two, three = [await connect() for _ in range(3)]
    statements = [await conn.prepare("select $1::int") for conn in (one, two)]
    waits = asyncio.create_task(three.fetchval("select 3"))
    if MODE == "transaction":
        # There are two servers.
        _, pending = await asyncio.wait({waits}, timeout=0.5)
        assert pending
    assert [await statement.fetchval(7) for statement in statements] == [7, 7]
    assert await asyncio.wait_for(waits, 20) == 3
    for conn in (one, two, three):
        await conn.close()


async def main():
    for test in (
        statements_are_cached_on_every_connection,
        a_pool_resets_what_it_lends,
        copies_go_both_ways_and_break_off,
        what_takes_too_long_is_cancelled,
        listeners_hear,
        notices_are_logged,
        transactions_cursors_and_errors,
        types_of_the_users_own,
        a_batch_that_is_not_over_keeps_its_server,
    ):
        print(test.__name__, flush=True)
        await asyncio.wait_for(test(), 60)
    print("asyncpg", asyncpg.__version__)


asyncio.run(main())
