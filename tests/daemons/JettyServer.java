// SPDX-License-Identifier: MIT
// java JettyServer PORT TAG: two selectors, one thread that accepts, a pool.

import java.io.IOException;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.server.handler.AbstractHandler;

public class JettyServer {
    public static void main(String[] words) throws Exception {
        String answer = "GEN " + words[1] + " jetty\n";
        String download = (words[1] + " ").repeat(1 << 20);
        Server server = new Server();
        ServerConnector connector = new ServerConnector(server, 1, 2);
        connector.setHost("127.0.0.1");
        connector.setPort(Integer.parseInt(words[0]));
        server.addConnector(connector);
        server.setHandler(new AbstractHandler() {
            @Override
            public void handle(String target, Request base, HttpServletRequest request,
                    HttpServletResponse response) throws IOException {
                request.getInputStream().readAllBytes();
                String body = target.equals("/download") ? download : answer;
                response.setContentLength(body.length());
                response.getOutputStream().print(body);
                base.setHandled(true);
            }
        });
        server.start();
        server.join();
    }
}
