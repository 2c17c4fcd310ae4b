// pgjdbc as applications use it, with HikariCP. The environment says where the server is (PGHOST and
// its like) and what is in between (HOWDAH_MODE: direct, session or transaction).

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.largeobject.LargeObject;
import org.postgresql.largeobject.LargeObjectManager;

public class Pgjdbc {
    static final int CLIENTS = 6;
    static final String MODE = System.getenv("HOWDAH_MODE");

    interface Test { void run() throws Exception; }

    public static void main(String[] args) throws Exception {
        test("statements are prepared after five turns", Pgjdbc::statements);
        test("values as text and binary", Pgjdbc::values);
        test("rows come in portions", Pgjdbc::portions);
        test("batches", Pgjdbc::batches);
        test("copies", Pgjdbc::copies);
        test("large objects by fastpath", Pgjdbc::largeObjects);
        test("cancelled and timed out", Pgjdbc::cancelled);
        test("savepoints and errors", Pgjdbc::errors);
        test("a pool", Pgjdbc::pool);
        test("notices and notifications", Pgjdbc::notices);
        System.out.println("pgjdbc " + org.postgresql.Driver.getVersion());
        System.exit(0);
    }

    static void test(String name, Test test) throws Exception {
        System.out.println(name);
        test.run();
    }

    static String url() {
        return "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/"
            + System.getenv("PGDATABASE");
    }

    static Connection connect(String... more) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", System.getenv("PGUSER"));
        properties.setProperty("password", System.getenv("PGPASSWORD"));
        for (int at = 0; at < more.length; at += 2) {
            properties.setProperty(more[at], more[at + 1]);
        }
        return DriverManager.getConnection(url(), properties);
    }

    static void same(Object got, Object wanted) {
        if (!wanted.equals(got)) {
            throw new AssertionError("got " + got + ", wanted " + wanted);
        }
    }

    static Object one(Connection on, String sql) throws SQLException {
        try (Statement statement = on.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            rows.next();
            return rows.getObject(1);
        }
    }

    static void statements() throws Exception {
        List<Connection> all = new ArrayList<>();
        List<PreparedStatement> prepared = new ArrayList<>();
        for (int number = 0; number < CLIENTS; number++) {
            all.add(number % 2 == 0 ? connect() : connect("prepareThreshold", "1"));
            prepared.add(all.get(number).prepareStatement("select " + number + " + ?::int, ?::text"));
        }
        for (int turn = 0; turn < 20; turn++) {
            for (int number = 0; number < CLIENTS; number++) {
                prepared.get(number).setInt(1, turn);
                prepared.get(number).setString(2, "é" + turn);
                try (ResultSet rows = prepared.get(number).executeQuery()) {
                    rows.next();
                    same(rows.getInt(1), number + turn);
                    same(rows.getString(2), "é" + turn);
                }
            }
        }
        for (Connection connection : all) {
            connection.close();
        }
    }

    static void values() throws Exception {
        try (Connection on = connect("binaryTransferEnable", "numeric", "prepareThreshold", "-1")) {
            String sql = "select ?::int8, ?::bytea, ?::float8, array[1, null, 3], null::text, repeat('j', 2000000)";
            try (PreparedStatement statement = on.prepareStatement(sql)) {
                statement.setLong(1, 1L << 40);
                statement.setBytes(2, new byte[] {0, -1});
                statement.setDouble(3, 1.5);
                for (int turn = 0; turn < 3; turn++) {
                    try (ResultSet rows = statement.executeQuery()) {
                        rows.next();
                        same(rows.getLong(1), 1L << 40);
                        same(Arrays.toString(rows.getBytes(2)), "[0, -1]");
                        same(rows.getDouble(3), 1.5);
                        same(Arrays.toString((Object[]) rows.getArray(4).getArray()), "[1, null, 3]");
                        same(rows.getString(5) == null, true);
                        same(rows.getString(6).length(), 2000000);
                    }
                }
            }
        }
    }

    static void portions() throws Exception {
        try (Connection on = connect("defaultRowFetchSize", "50"); Connection other = connect()) {
            on.setAutoCommit(false);
            for (int turn = 0; turn < 8; turn++) {
                int sum = 0;
                try (PreparedStatement statement = on.prepareStatement("select g from generate_series(1, ?) g")) {
                    statement.setInt(1, 500);
                    try (ResultSet rows = statement.executeQuery()) {
                        while (rows.next()) {
                            sum += rows.getInt(1);
                            if (sum % 100 == 0) {
                                one(other, "select 1");
                            }
                        }
                    }
                }
                same(sum, 125250);
            }
            on.commit();
        }
    }

    static void batches() throws Exception {
        for (String rewrite : new String[] {"false", "true"}) {
            try (Connection on = connect("reWriteBatchedInserts", rewrite)) {
                on.createStatement().execute("create table batched (id serial, n int check (n >= 0))");
                String sql = "insert into batched (n) values (?)";
                try (PreparedStatement insert = on.prepareStatement(sql, Statement.RETURN_GENERATED_KEYS)) {
                    for (int n = 0; n < 3000; n++) {
                        insert.setInt(1, n);
                        insert.addBatch();
                    }
                    insert.executeBatch();
                    int keys = 0;
                    ResultSet generated = insert.getGeneratedKeys();
                    while (generated.next()) {
                        keys++;
                    }
                    same(keys, 3000);
                }
                on.setAutoCommit(false);
                try (PreparedStatement insert = on.prepareStatement(sql)) {
                    for (int n = 0; n < 20; n++) {
                        insert.setInt(1, n == 11 ? -1 : n);
                        insert.addBatch();
                    }
                    insert.executeBatch();
                    throw new AssertionError("no error");
                } catch (SQLException error) {
                    same(error.getNextException().getSQLState(), "23514");
                }
                on.rollback();
                same(one(on, "select count(*) from batched"), 3000L);
                on.createStatement().execute("drop table batched");
                on.commit();
            }
        }
    }

    static void copies() throws Exception {
        try (Connection on = connect()) {
            on.createStatement().execute("create table copied5 (id int, line text)");
            var manager = on.unwrap(PGConnection.class).getCopyAPI();
            StringBuilder text = new StringBuilder();
            for (int n = 0; n < 20000; n++) {
                text.append(n).append('\t').append("j".repeat(n % 90)).append('\n');
            }
            same(manager.copyIn("copy copied5 from stdin", new StringReader(text.toString())), 20000L);
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            manager.copyOut("copy (select * from copied5 order by id) to stdout", out);
            same(out.toString("UTF-8"), text.toString());
            try {
                manager.copyIn("copy copied5 from stdin", new StringReader("x\ty\n"));
                throw new AssertionError("no error");
            } catch (SQLException error) {
                same(error.getSQLState(), "22P02");
            }
            var broken = manager.copyIn("copy copied5 from stdin");
            broken.writeToCopy("1\ta\n".getBytes(), 0, 4);
            broken.cancelCopy();
            same(one(on, "select count(*) from copied5"), 20000L);
            on.createStatement().execute("drop table copied5");
        }
    }

    static void largeObjects() throws Exception {
        try (Connection on = connect()) {
            on.setAutoCommit(false);
            LargeObjectManager manager = on.unwrap(PGConnection.class).getLargeObjectAPI();
            long number = manager.createLO();
            LargeObject thing = manager.open(number, LargeObjectManager.READWRITE);
            byte[] bytes = new byte[300000];
            Arrays.fill(bytes, (byte) 7);
            thing.write(bytes);
            thing.close();
            on.commit();
            thing = manager.open(number, LargeObjectManager.READ);
            thing.seek64(299990, LargeObject.SEEK_SET);
            same(thing.read(100).length, 10);
            thing.close();
            manager.delete(number);
            on.commit();
            try {
                manager.open(number, LargeObjectManager.READ);
                throw new AssertionError("no error");
            } catch (SQLException error) {
                same(error.getSQLState(), "42704");
            }
            on.rollback();
        }
    }

    static void cancelled() throws Exception {
        try (Connection on = connect(); Connection other = connect(); Statement sleeps = on.createStatement()) {
            Thread thread = new Thread(() -> {
                try {
                    String seen = "select count(*) from pg_stat_activity where query like 'select pg_sleep(63)%' and state = 'active'";
                    while ((long) one(other, seen) == 0) {
                        Thread.onSpinWait();
                    }
                    sleeps.cancel();
                } catch (SQLException error) {
                    throw new AssertionError(error);
                }
            });
            thread.start();
            try {
                sleeps.execute("select pg_sleep(63)");
                throw new AssertionError("not cancelled");
            } catch (SQLException error) {
                same(error.getSQLState(), "57014");
            }
            thread.join();
            sleeps.setQueryTimeout(1);
            try {
                sleeps.execute("select pg_sleep(64)");
                throw new AssertionError("not cancelled");
            } catch (SQLException error) {
                same(error.getSQLState(), "57014");
            }
            same(one(on, "select 1"), 1);
            same(one(other, "select 2"), 2);
        }
    }

    static void errors() throws Exception {
        for (String autosave : new String[] {"never", "always"}) {
            try (Connection on = connect("autosave", autosave)) {
                on.setAutoCommit(false);
                Savepoint before = on.setSavepoint("before");
                try {
                    one(on, "select 1 / 0");
                    throw new AssertionError("no error");
                } catch (SQLException error) {
                    same(error.getSQLState(), "22012");
                }
                if (autosave.equals("never")) {
                    on.rollback(before);
                }
                same(one(on, "select 3"), 3);
                on.commit();
                on.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
                on.setReadOnly(true);
                same(one(on, "show transaction_isolation"), "serializable");
                on.commit();
            }
        }
    }

    static void pool() throws Exception {
        HikariConfig config = new HikariConfig();
        config.setJdbcUrl(url());
        config.setUsername(System.getenv("PGUSER"));
        config.setPassword(System.getenv("PGPASSWORD"));
        config.setMaximumPoolSize(CLIENTS);
        config.setConnectionInitSql("set lock_timeout = '8s'");
        try (HikariDataSource pool = new HikariDataSource(config)) {
            ExecutorService threads = Executors.newFixedThreadPool(12);
            List<Callable<Integer>> work = new ArrayList<>();
            for (int number = 0; number < 200; number++) {
                int mine = number;
                work.add(() -> {
                    try (Connection on = pool.getConnection()) {
                        on.setAutoCommit(mine % 2 == 0);
                        if (mine % 5 == 0) {
                            on.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
                        }
                        same(one(on, "show lock_timeout"), "8s");
                        same(one(on, "show transaction_isolation"), mine % 5 == 0 ? "repeatable read" : "read committed");
                        try (PreparedStatement statement = on.prepareStatement("select ? + 1")) {
                            statement.setInt(1, mine);
                            ResultSet rows = statement.executeQuery();
                            rows.next();
                            return rows.getInt(1);
                        }
                    }
                });
            }
            int number = 0;
            for (Future<Integer> done : threads.invokeAll(work)) {
                same(done.get(), ++number);
            }
            threads.shutdown();
        }
    }

    static void notices() throws Exception {
        try (Connection on = connect(); Connection other = connect(); Statement statement = on.createStatement()) {
            statement.execute("do $$ begin raise warning 'mind'; end $$");
            same(statement.getWarnings().getMessage(), "mind");
            statement.execute("listen rings");
            other.createStatement().execute("notify rings, 'once'");
            PGNotification[] heard = on.unwrap(PGConnection.class).getNotifications(20000);
            same(heard[0].getParameter(), "once");
            statement.execute("unlisten *");
        }
    }
}
