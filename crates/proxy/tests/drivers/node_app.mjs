// node-postgres as applications use it. The environment says where the server is (PGHOST and its like)
// and what is in between (HOWDAH_MODE: direct, session or transaction).
import assert from "node:assert/strict";
import { pipeline } from "node:stream/promises";
import { Readable, Writable } from "node:stream";
import { createRequire } from "node:module";

// Where the packages are is told too: this file is not beside them.
const require = createRequire(process.env.HOWDAH_NODE_MODULES + "/");
const { Client, Pool } = require("pg");
const Cursor = require("pg-cursor");
const copy = require("pg-copy-streams");
const version = require("pg/package.json").version;

const CLIENTS = 6;

async function connected() {
  const client = new Client();
  await client.connect();
  return client;
}

const tests = {
  async "named statements on every connection of a pool"() {
    const pool = new Pool({ max: CLIENTS });
    const work = async (number) => {
      for (let turn = 0; turn < 10; turn++) {
        const named = { name: `by name ${number % 3}`, text: `select ${number % 3} + $1::int as sum`, values: [turn] };
        assert.equal((await pool.query(named)).rows[0].sum, (number % 3) + turn);
        const { rows } = await pool.query("select $1::text as t, $2::int8 as n", ["é", "9007199254740993"]);
        assert.deepEqual(rows, [{ t: "é", n: "9007199254740993" }]);
      }
    };
    await Promise.all(Array.from({ length: 40 }, (_, number) => work(number)));
    await pool.end();
  },
  async "transactions of a pool's clients"() {
    const pool = new Pool({ max: CLIENTS });
    await pool.query("create table counted (id int primary key, n int)");
    await pool.query("insert into counted values (1, 0)");
    const add = async (fails) => {
      const client = await pool.connect();
      try {
        await client.query("begin");
        await client.query("update counted set n = n + 1 where id = 1");
        if (fails) await client.query("insert into counted values (1, 1)");
        await client.query("commit");
      } catch (error) {
        assert.equal(error.code, "23505");
        await client.query("rollback");
      } finally {
        client.release();
      }
    };
    await Promise.all(Array.from({ length: 30 }, (_, n) => add(n % 3 === 0)));
    assert.equal((await pool.query("select n from counted")).rows[0].n, 20);
    await pool.query("drop table counted");
    await pool.end();
  },
  async "queries are queued on one client"() {
    const client = await connected();
    const answers = await Promise.allSettled([
      client.query("select 1 as a"), client.query("select 1 / 0"), client.query("select $1::int as a", [3]),
      client.query("select 4 as a; select 5 as b"),
    ]);
    assert.deepEqual(answers.map((answer) => answer.status), ["fulfilled", "rejected", "fulfilled", "fulfilled"]);
    assert.equal(answers[1].reason.code, "22012");
    assert.equal(answers[3].value[1].rows[0].b, 5);
    const large = await client.query("select repeat('n', 3000000) as t");
    assert.equal(large.rows[0].t.length, 3000000);
    const binary = await client.query({ text: "select 7::int4 as n, '\\x00ff'::bytea as b", binary: true });
    assert.deepEqual([binary.rows[0].n, [...binary.rows[0].b]], [7, [0, 255]]);
    await client.end();
  },
  async "a cursor reads in portions"() {
    const [client, other] = [await connected(), await connected()];
    await client.query("begin");
    const cursor = client.query(new Cursor("select g from generate_series(1, $1::int) g", [250]));
    let sum = 0;
    for (;;) {
      const rows = await cursor.read(60);
      if (!rows.length) break;
      rows.forEach((row) => (sum += row.g));
      assert.equal((await other.query("select 1 as a")).rows[0].a, 1);
    }
    assert.equal(sum, 31375);
    const closed = client.query(new Cursor("select g from generate_series(1, 1000) g"));
    assert.equal((await closed.read(5)).length, 5);
    await closed.close();
    await client.query("commit");
    // Without a transaction the portal lives as long as its batch.
    const alone = client.query(new Cursor("select g from generate_series(1, 20) g"));
    assert.equal((await alone.read(8)).length, 8);
    assert.equal((await alone.read(100)).length, 12);
    await alone.close();
    await Promise.all([client.end(), other.end()]);
  },
  async "copies go both ways and break off"() {
    const client = await connected();
    await client.query("create table copied4 (id int, line text)");
    const lines = Array.from({ length: 20000 }, (_, n) => `${n}\t${"k".repeat(n % 90)}\n`);
    await pipeline(Readable.from(lines), client.query(copy.from("copy copied4 from stdin")));
    let length = 0;
    const sink = new Writable({ write(piece, _, done) { length += piece.length; done(); } });
    await pipeline(client.query(copy.to("copy (select * from copied4 order by id) to stdout")), sink);
    assert.equal(length, lines.join("").length);
    await assert.rejects(pipeline(Readable.from(["x\ty\n"]), client.query(copy.from("copy copied4 from stdin"))), { code: "22P02" });
    assert.equal((await client.query("select count(*)::int as n from copied4")).rows[0].n, 20000);
    await client.query("drop table copied4");
    await client.end();
  },
  async "notices and notifications"() {
    const [client, other] = [await connected(), await connected()];
    const notices = [];
    client.on("notice", (notice) => notices.push(notice.message));
    await client.query("do $$ begin raise notice 'see'; end $$");
    assert.deepEqual(notices, ["see"]);
    const heard = new Promise((resolve) => client.on("notification", resolve));
    await client.query("listen calls");
    await other.query("select pg_notify('calls', 'ring')");
    assert.equal((await heard).payload, "ring");
    await Promise.all([client.end(), other.end()]);
  },
  async "what takes too long ends, and its settings are its own"() {
    const [client, other] = [new Client({ statement_timeout: 1500, application_name: "hurried" }), await connected()];
    await client.connect();
    for (let turn = 0; turn < 2; turn++) {
      await assert.rejects(client.query("select pg_sleep(30)"), { code: "57014" });
      assert.equal((await other.query("show statement_timeout")).rows[0].statement_timeout, "0");
      assert.equal((await client.query("show application_name")).rows[0].application_name, "hurried");
    }
    await Promise.all([client.end(), other.end()]);
  },
};

for (const [name, test] of Object.entries(tests)) {
  console.log(name);
  await test();
}
console.log("pg", version);
