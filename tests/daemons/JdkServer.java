// SPDX-License-Identifier: MIT
// java JdkServer PORT TAG: the HTTP server that is in the JDK, with a pool of threads.

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;

public class JdkServer {
    public static void main(String[] words) throws IOException {
        byte[] answer = ("GEN " + words[1] + " jdk\n").getBytes(StandardCharsets.US_ASCII);
        byte[] download = (words[1] + " ").repeat(1 << 20).getBytes(StandardCharsets.US_ASCII);
        HttpServer server = HttpServer.create(
                new InetSocketAddress("127.0.0.1", Integer.parseInt(words[0])), 128);
        server.createContext("/", exchange -> {
            exchange.getRequestBody().readAllBytes();
            byte[] body =
                    exchange.getRequestURI().getPath().equals("/download") ? download : answer;
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.start();
    }
}
