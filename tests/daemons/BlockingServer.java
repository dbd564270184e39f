// SPDX-License-Identifier: MIT
// java BlockingServer PORT TAG: a thread that accepts, and a pool for the connections.

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

public class BlockingServer {
    public static void main(String[] words) throws IOException {
        int port = Integer.parseInt(words[0]);
        byte[] answer = ("GEN " + words[1] + " java\n").getBytes(StandardCharsets.US_ASCII);
        byte[] download = (words[1] + " ").repeat(1 << 20).getBytes(StandardCharsets.US_ASCII);
        ExecutorService pool = Executors.newFixedThreadPool(16);
        try (ServerSocket server =
                new ServerSocket(port, 128, InetAddress.getByName("127.0.0.1"))) {
            while (true) {
                Socket connection = server.accept();
                pool.execute(() -> serve(connection, answer, download));
            }
        }
    }

    private static void serve(Socket connection, byte[] answer, byte[] download) {
        try (connection) {
            BufferedReader reader = new BufferedReader(
                    new InputStreamReader(connection.getInputStream(), StandardCharsets.US_ASCII));
            OutputStream out = connection.getOutputStream();
            boolean stays = true;
            for (String request; stays && (request = reader.readLine()) != null;) {
                String line;
                while ((line = reader.readLine()) != null && !line.isEmpty()) {
                    stays &= !line.equalsIgnoreCase("Connection: close");
                }
                byte[] body = request.startsWith("GET /download ") ? download : answer;
                String head = "HTTP/1.1 200 OK\r\nContent-Length: " + body.length + "\r\n\r\n";
                byte[] first = head.getBytes(StandardCharsets.US_ASCII);
                byte[] all = new byte[first.length + body.length];
                System.arraycopy(first, 0, all, 0, first.length);
                System.arraycopy(body, 0, all, first.length, body.length);
                out.write(all);
            }
        } catch (IOException error) {
            System.err.println(error);
        }
    }
}
