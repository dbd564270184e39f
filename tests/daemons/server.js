// SPDX-License-Identifier: MIT
// node server.js PORT TAG
const [port, tag] = process.argv.slice(2);
require('http').createServer((request, response) => {
  response.end(`GEN ${tag} node\n`);
}).listen(Number(port), '127.0.0.1');
