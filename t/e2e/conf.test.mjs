// The files of conf/: weir takes each as it stands, but for the machine that it was written for, and serves what it promises.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { certificate, signed } from './lib/certificates.mjs';
import { connect } from './lib/clients.mjs';
import { configurations, edited } from './lib/documents.mjs';
import { run, until } from './lib/process.mjs';
import { PROTOCOL, rpc } from './lib/raw.mjs';
import { binary, freePort, repo, runWeir } from './lib/weir.mjs';
import { everything, startServer, waysThroughWeir } from './lib/world.mjs';

const folder = mkdtempSync(join(tmpdir(), 'weir-conf-'));
after(() => rmSync(folder, { recursive: true }));

/* What the files name and this machine has elsewhere. */
const port = name => [`listen: ${name}`, 'listen: "127.0.0.1:0"'];
const npx = ['[npx, -y, "@modelcontextprotocol/server-everything"]', JSON.stringify(everything.stdio)];
const logs = [/\/var\/log\/weir\//g, `${folder}/`];
const pid = ['/run/weir.pid', join(folder, 'weir.pid')];

/* Writes conf/NAME for this machine, has it checked, and serves it. `url(listener, path)` is where it answers. */
async function serve(name, ...edits) {
    const file = join(folder, name);
    writeFileSync(file, edited(configurations[name], ...edits));
    const { code, stdout, stderr } = await run(binary, ['-t', '-c', file]);
    assert.equal(code, 0, stderr);
    assert.equal(stdout, `configuration ${file} is fine\n`);
    const weir = await runWeir(['-c', file], { cwd: repo });
    const url = (listener, path) => `http://${weir.stderr().match(new RegExp(`listener ${listener}: listening on (\\S+)`))[1]}${path}`;
    return { ...weir, url };
}

async function echoes(url) {
    const me = await connect('client 2.x', url);
    const { content } = await me.callTool('echo', { message: url });
    assert.match(content[0].text, new RegExp(url));
    await me.close();
}

if (waysThroughWeir.length > 0) {
    test('conf: weir.yaml serves from the tree, with nothing else on the machine', async () => {
        const weir = await serve('weir.yaml', port('127.0.0.1:8080'));
        await echoes(weir.url('edge', '/mcp'));
        await weir.stop();
    });

    test('conf: what stands in weir.yaml behind # is good too', async () => {
        const text = configurations['weir.yaml'].replace(/^( *)# (?=( *)([a-z_]+:|- )(?! .*`))/gm, '$1');
        for (const line of [/^user: www-data/m, /^    tls: /m, /^      - .* search /m, /^  search:$/m]) assert.match(text, line);
        await certificate(folder, 'edge', 'DNS:mcp.example');
        writeFileSync(join(folder, 'session.keys'), 'a secret that is known to everybody\n');
        const file = join(folder, 'all.yaml');
        writeFileSync(file, edited(text, [/\/var\/log\/weir\//g, `${folder}/`], pid));
        const { code, stderr } = await run(binary, ['-t', '-c', file]);
        assert.equal(code, 0, `${stderr}\n${text}`);
    });

    test('conf: desk.yaml serves every server at its path, and logs each request beside itself', async () => {
        writeFileSync(join(folder, 'server.mjs'), `process.argv.push('stdio');\nawait import('${everything.stdio[1]}');\n`);
        const other = npx[0].replace('server-everything"]', 'server-filesystem", .]');
        const node = ['[node, ', `[${everything.stdio[0]}, `];
        const weir = await serve('desk.yaml', port('127.0.0.1:8080'), port('127.0.0.1:9901'), npx, [other, npx[1]], node);
        for (const path of ['/everything', '/files', '/mine']) await echoes(weir.url('desk', path));
        await weir.stop();
        const lines = readFileSync(join(folder, 'desk.log'), 'utf8').trim().split('\n').map(line => JSON.parse(line));
        const calls = lines.filter(({ method }) => method === 'tools/call').map(({ upstream }) => upstream);
        assert.deepEqual(calls, ['everything', 'files', 'mine']);
    });

    test('conf: http-servers.yaml shares the load among servers, and sessions stick to theirs', async () => {
        const servers = await Promise.all([0, 1, 2].map(() => startServer(everything.http)));
        const { code, stdout } = await run('openssl', ['rand', '-base64', '48']);
        assert.equal(code, 0);
        writeFileSync(join(folder, 'session.keys'), stdout);
        const urls = ['11', '12', '13'].map((n, i) => [`http://10.0.0.${n}:3000/mcp`, servers[i].url]);
        const weir = await serve('http-servers.yaml', port('0.0.0.0:8080'), port('127.0.0.1:9901'), logs, pid, ...urls);
        for (let i = 0; i < 4; i++) await echoes(weir.url('edge', '/search/mcp'));
        await weir.stop();
        const log = readFileSync(join(folder, 'access.log'), 'utf8').trim().split('\n').map(line => JSON.parse(line));
        const used = log.filter(({ method }) => method === 'tools/call').map(({ server }) => server);
        assert.equal(used.length, 4);
        assert.ok(new Set(used).size > 1, `several servers were used: ${used}`);
        await Promise.all(servers.map(server => server.stop()));
    });

    test('conf: legacy-sse.yaml serves clients and servers of 2024-11-05 and of today on one port', async () => {
        const old = await startServer(everything.sse, '/sse');
        const weir = await serve('legacy-sse.yaml', port('127.0.0.1:8080'), npx, ['http://10.0.0.14:3001/sse', old.url]);
        await echoes(weir.url('edge', '/mcp'));
        await echoes(weir.url('edge', '/old'));
        const client = new Client({ name: 'legacy', version: '1' });
        await client.connect(new SSEClientTransport(new URL(weir.url('edge', '/sse'))));
        const { content } = await client.callTool({ name: 'echo', arguments: { message: 'from 2024' } });
        assert.match(content[0].text, /from 2024/);
        await client.close();
        await weir.stop();
        await old.stop();
    });

    test('conf: strategies.yaml serves by each of them', async () => {
        const servers = await Promise.all([0, 1].map(() => startServer(everything.http)));
        const urls = ['10.0.0.11', '10.0.0.12', '10.1.0.12'].map((host, i) => [new RegExp(`http://${host}:3000/mcp`, 'g'), servers[i % 2].url]);
        const weir = await serve('strategies.yaml', port('127.0.0.1:8080'), port('127.0.0.1:9901'), ...urls);
        for (const path of ['turns', 'weights', 'loaded', 'latency', 'adaptive', 'peak', 'tenants']) await echoes(weir.url('edge', `/${path}`));
        await weir.stop();
        await Promise.all(servers.map(server => server.stop()));
    });

    test('conf: breaker.yaml serves by whoever stands in while the servers cannot be reached', async () => {
        const server = await startServer(everything.http);
        const urls = ['11', '12', '21'].map(n => [`http://10.0.0.${n}:3000/mcp`, `http://127.0.0.${n}:1/mcp`]); // where nobody ever listens
        const stand = [/10\.0\.0\.22:3000/g, new URL(server.url).host];
        const weir = await serve('breaker.yaml', port('127.0.0.1:8080'), port('127.0.0.1:9901'), ...urls, stand);
        for (const path of ['/search/mcp', '/tickets/mcp']) {
            await until(() => echoes(weir.url('edge', path)).then(() => true, () => false), `${path} is served`); // prettier-ignore
            await echoes(weir.url('edge', path));
        }
        await until(() => /breaker: search\/127\.0\.0\.1\d:1: closed -> open/.test(weir.stderr()), 'the log tells of the circuit');
        await weir.stop();
        await server.stop();
    });

    test('conf: edge.yaml and inner.yaml are a pair, and clients of the one use the servers of the other', async () => {
        const servers = await Promise.all([0, 1].map(() => startServer(everything.http)));
        await certificate(folder, 'inner', 'IP:127.0.0.1');
        await certificate(folder, 'edges', 'DNS:edges');
        await signed(folder, 'edge', 'edges');
        const { stdout } = await run('openssl', ['rand', '-hex', '32']);
        writeFileSync(join(folder, 'session.keys'), stdout);
        const urls = ['11', '12'].map((n, i) => [`http://10.1.0.${n}:3000/mcp`, servers[i].url]);
        const inner = await serve('inner.yaml', port('10.1.0.2:9000'), port('127.0.0.1:9901'), logs, pid, npx, ...urls);
        const address = inner.stderr().match(/listener inner: listening on (\S+)/)[1];
        const edge = await serve('edge.yaml', port('0.0.0.0:8080'), port('127.0.0.1:9901'), logs, pid, ['10.1.0.2:9000', address]);
        for (const path of ['/mcp', '/search/mcp', '/search/mcp']) await echoes(edge.url('edge', path));
        await edge.stop();
        await inner.stop();
        await Promise.all(servers.map(server => server.stop()));
    });

    test('conf: public-stdio.yaml serves over TLS, under its own name only', async () => {
        const free = await freePort();
        await certificate(folder, 'mcp.example', 'DNS:mcp.example');
        mkdirSync(join(folder, 'home'));
        const weir = await serve(
            'public-stdio.yaml',
            ['user: www-data', `user: ${userInfo().username}`],
            ['["0.0.0.0:443", "[::]:443"]', `["127.0.0.1:${free}"]`],
            port('127.0.0.1:9901'),
            [/\/var\/lib\/weir/g, join(folder, 'home')],
            ['/var/log/weir/error.log', 'stderr'],
            logs,
            pid,
            npx
        );
        const ca = readFileSync(join(folder, 'mcp.example.pem'));
        const ask = (host, origin) =>
            new Promise((resolve, reject) => {
                const body = rpc('initialize', { protocolVersion: PROTOCOL, capabilities: {}, clientInfo: { name: 'raw', version: '1' } }, 1);
                const headers = { host, 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...(origin && { origin }) };
                const where = { host: '127.0.0.1', port: free, path: '/mcp', method: 'POST', servername: 'mcp.example', ca, headers };
                const request = https.request(where, response => {
                    response.setEncoding('utf8');
                    let text = '';
                    response.on('data', piece => (text += piece)).on('end', () => resolve({ status: response.statusCode, text }));
                });
                request.on('error', reject).end(body);
            });
        const hello = await ask('mcp.example');
        assert.equal(hello.status, 200, hello.text);
        assert.match(hello.text, /"serverInfo"/);
        assert.equal((await ask('mcp.example', 'https://app.example')).status, 200);
        assert.equal((await ask('mcp.example', 'https://other.example')).status, 403);
        assert.equal((await ask('other.example')).status, 403);
        await weir.stop();
        await until(() => /"status":403/.test(readFileSync(join(folder, 'access.log'), 'utf8')), 'refusals are logged');
    });
}
