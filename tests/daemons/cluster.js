// SPDX-License-Identifier: MIT
// node cluster.js PORT TAG rr|none
const cluster = require('cluster');
const [port, tag, policy] = process.argv.slice(2);
cluster.schedulingPolicy = policy === 'none' ? cluster.SCHED_NONE : cluster.SCHED_RR;
if (cluster.isPrimary) {
  cluster.fork();
  cluster.fork();
} else {
  require('http').createServer((request, response) => {
    response.end(`GEN ${tag} node\n`);
  }).listen(Number(port), '127.0.0.1');
}
