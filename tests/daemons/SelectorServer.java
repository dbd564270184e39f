// SPDX-License-Identifier: MIT
// java SelectorServer PORT TAG: one thread and a selector; the answers are lines.

import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.util.Iterator;

public class SelectorServer {
    private static byte[] answer, download;

    /** What has been read of a request, and what is to be written. */
    private static final class State {
        final StringBuilder request = new StringBuilder();
        ByteBuffer output = ByteBuffer.allocate(0);
        boolean last;
    }

    public static void main(String[] words) throws IOException {
        answer = ("GEN " + words[1] + " java\n").getBytes(StandardCharsets.US_ASCII);
        download = (words[1] + " ").repeat(1 << 20).getBytes(StandardCharsets.US_ASCII);
        Selector selector = Selector.open();
        ServerSocketChannel server = ServerSocketChannel.open();
        server.bind(new InetSocketAddress("127.0.0.1", Integer.parseInt(words[0])), 128);
        server.configureBlocking(false);
        server.register(selector, SelectionKey.OP_ACCEPT);
        while (true) {
            selector.select();
            for (Iterator<SelectionKey> keys = selector.selectedKeys().iterator();
                    keys.hasNext();) {
                SelectionKey key = keys.next();
                keys.remove();
                if (key.isAcceptable()) {
                    accept(server, selector);
                } else {
                    serve(key);
                }
            }
        }
    }

    private static void accept(ServerSocketChannel server, Selector selector) throws IOException {
        for (SocketChannel connection; (connection = server.accept()) != null;) {
            connection.configureBlocking(false);
            connection.register(selector, SelectionKey.OP_READ, new State());
        }
    }

    private static void serve(SelectionKey key) throws IOException {
        SocketChannel connection = (SocketChannel) key.channel();
        State state = (State) key.attachment();
        try {
            if (key.isReadable() && !read(connection, state)) {
                connection.close();
                return;
            }
            connection.write(state.output);
            if (state.output.hasRemaining()) {
                key.interestOps(SelectionKey.OP_WRITE);
            } else if (state.last) {
                connection.close();
            } else {
                key.interestOps(SelectionKey.OP_READ);
            }
        } catch (IOException error) {
            System.err.println(error);
            connection.close();
        }
    }

    private static boolean read(SocketChannel connection, State state) throws IOException {
        ByteBuffer input = ByteBuffer.allocate(4096);
        if (connection.read(input) < 0) {
            return false;
        }
        state.request.append(StandardCharsets.US_ASCII.decode(input.flip()));
        int end = state.request.indexOf("\r\n\r\n");
        if (end >= 0) {
            String request = state.request.substring(0, end);
            byte[] body = request.startsWith("GET /download ") ? download : answer;
            String head = "HTTP/1.1 200 OK\r\nContent-Length: " + body.length + "\r\n\r\n";
            state.last = request.contains("Connection: close");
            state.output = ByteBuffer.allocate(head.length() + body.length)
                    .put(head.getBytes(StandardCharsets.US_ASCII)).put(body).flip();
            state.request.delete(0, end + 4);
        }
        return true;
    }
}
