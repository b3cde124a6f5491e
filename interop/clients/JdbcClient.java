// PostgreSQL's JDBC driver: extended protocol, server-side statements after five executions, fetch size, metadata.
import java.net.URI;
import java.sql.*;

public class JdbcClient {
    static final String RAW = "402-81-1957";

    static void check(boolean good, String what) {
        if (!good) throw new AssertionError(what);
    }

    static String refused(Connection c, String sql) {
        try (Statement s = c.createStatement()) {
            s.execute(sql);
        } catch (SQLException e) {
            return e.getSQLState();
        }
        throw new AssertionError("not refused: " + sql);
    }

    public static void main(String[] args) throws Exception {
        String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
        try (Connection c = DriverManager.getConnection(url, System.getenv("PGUSER"), System.getenv("PGPASSWORD"))) {
            try (PreparedStatement s = c.prepareStatement("SELECT amount FROM orders WHERE id = ?")) {
                for (int n = 0; n < 12; n++) {
                    s.setInt(1, 1 + n % 6);
                    ResultSet r = s.executeQuery();
                    check(r.next(), "an order");
                }
            }
            try (PreparedStatement s = c.prepareStatement("SELECT ssn FROM customers WHERE id = ?")) {
                for (int n = 0; n < 8; n++) {
                    s.setInt(1, 3);
                    ResultSet r = s.executeQuery();
                    check(r.next() && !RAW.equals(r.getString(1)), "masked");
                }
            }
            check("42501".equals(refused(c, "DROP TABLE orders")), "42501");
            c.setAutoCommit(false);
            check("42501".equals(refused(c, "DROP TABLE orders")), "42501 in a transaction");
            check("25P02".equals(refused(c, "SELECT 1")), "25P02");
            c.rollback();
            try (Statement s = c.createStatement()) {
                s.setFetchSize(500);
                ResultSet r = s.executeQuery("SELECT g FROM generate_series(1, 5000) AS g");
                long sum = 0;
                while (r.next()) sum += r.getLong(1);
                check(sum == 12502500L, "a portal in pieces");
            }
            c.commit();
            try (PreparedStatement s = c.prepareStatement("INSERT INTO pad (t) VALUES (?)")) {
                for (int n = 0; n < 20; n++) {
                    s.setString(1, "jdbc " + n);
                    s.addBatch();
                }
                check(s.executeBatch().length == 20, "a batch");
            }
            c.commit();
            c.setAutoCommit(true);
            ResultSet columns = c.getMetaData().getColumns(null, "public", "customers", null);
            int count = 0;
            while (columns.next()) count++;
            check(count == 6, "metadata: " + count);
        }
        System.out.println("conversation complete");
    }
}
