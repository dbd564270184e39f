// SPDX-License-Identifier: MIT
// node ws-server.js PORT TAG [FD]: streams over WebSocket, answers to plain HTTP.
// FD is a bound socket.
const http = require('http');
const { WebSocketServer } = require('ws');

const [port, tag, fd] = process.argv.slice(2);

const server = http.createServer((request, response) => {
  request.resume().on('end', () => response.end(`GEN ${tag} ws\n`));
});

// Sends numbered messages and counts the client's, until one of these says "end".
new WebSocketServer({ server }).on('connection', (connection) => {
  let sent = 0;
  let received = 0;
  const timer = setInterval(() => connection.send(`${tag} ${++sent}`), 25);
  connection.on('close', () => clearInterval(timer));
  connection.on('message', (message) => {
    if (String(message) !== 'end') {
      received++;
      return;
    }
    clearInterval(timer);
    connection.send(`${tag} end ${sent} ${received}`);
    connection.close(1000);
  });
});

server.listen(fd ? { fd: Number(fd) } : { host: '127.0.0.1', port: Number(port) });
