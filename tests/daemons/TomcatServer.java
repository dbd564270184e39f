// SPDX-License-Identifier: MIT
// java TomcatServer PORT TAG DIRECTORY: a thread that accepts, one that polls, a pool.

import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import org.apache.catalina.Context;
import org.apache.catalina.startup.Tomcat;

public class TomcatServer {
    public static void main(String[] words) throws Exception {
        String answer = "GEN " + words[1] + " tomcat\n";
        String download = (words[1] + " ").repeat(1 << 20);
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(words[2]);
        tomcat.setHostname("127.0.0.1");
        tomcat.setPort(Integer.parseInt(words[0]));
        tomcat.getConnector().setProperty("address", "127.0.0.1");
        Context context = tomcat.addContext("", words[2]);
        Tomcat.addServlet(context, "all", new HttpServlet() {
            @Override
            protected void service(HttpServletRequest request, HttpServletResponse response)
                    throws IOException {
                request.getInputStream().readAllBytes();
                String body = request.getRequestURI().equals("/download") ? download : answer;
                response.setContentLength(body.length());
                response.getOutputStream().print(body);
            }
        });
        context.addServletMappingDecoded("/", "all");
        tomcat.start();
        tomcat.getServer().await();
    }
}
