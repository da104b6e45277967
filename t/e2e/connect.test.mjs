// `weir connect URL`: a stdio server for a client that starts one. It outlives the sessions of the server behind it.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { until } from './lib/process.mjs';
import { binary, repo } from './lib/weir.mjs';
import { stdio, WireTransport } from './lib/wires.mjs';

/* A server of the legacy era that can forget its sessions; `log` has what it was asked, as `METHOD session message`. */
class Forgetful {
    sessions = new Map(); // to the stream that listens
    begun = 0;
    log = [];
    willBegin = true;

    async start(port = 0) {
        this.server = createServer((asked, reply) => this.#serve(asked, reply)).listen(port, '127.0.0.1');
        await new Promise(resolve => this.server.once('listening', resolve));
        this.port = this.server.address().port;
        this.url = `http://127.0.0.1:${this.port}/mcp`;
        return this;
    }

    forget() {
        this.sessions.forEach(stream => stream?.end());
        this.sessions.clear();
    }

    async stop() {
        this.server.closeAllConnections();
        await new Promise(resolve => this.server.close(resolve));
    }

    asked(what) {
        return this.log.filter(line => line.endsWith(what)).length;
    }

    async #serve(asked, reply) {
        const body = await text(asked);
        const { id, method, params } = body ? JSON.parse(body) : {};
        const session = asked.headers['mcp-session-id'];
        this.log.push(`${asked.method} ${session} ${method}`);
        const say = (status, message, headers = {}) => reply.writeHead(status, { 'content-type': 'application/json', ...headers }).end(message && JSON.stringify(message));
        const result = (result, headers) => say(200, { jsonrpc: '2.0', id, result }, headers);
        if (method === 'initialize' && !this.willBegin) return say(503);
        if (method === 'initialize') {
            const name = `s${(this.begun += 1)}`;
            this.sessions.set(name, undefined);
            return result({ protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'forgetful', version: '1' } }, { 'mcp-session-id': name });
        }
        if (!this.sessions.has(session)) return say(404, { jsonrpc: '2.0', id: null, error: { code: -32001, message: 'Session not found' } });
        if (asked.method === 'GET') {
            reply.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
            return this.sessions.set(session, reply);
        }
        if (id === undefined) return say(202);
        return result({ content: [{ type: 'text', text: `${params.name} in ${session}` }] });
    }
}

async function scene(play) {
    const server = await new Forgetful().start();
    const wire = stdio.start(binary, ['connect', server.url], { cwd: repo });
    const client = new Client({ name: 'desktop', version: '1.0.0' }, { capabilities: {} });
    const call = async name => (await client.callTool({ name })).content[0].text;
    try {
        await client.connect(new WireTransport(wire));
        await play({ server, client, call });
        await client.close();
        assert.deepEqual(await wire.ended, { code: 0, signal: null });
    } finally {
        await server.stop();
    }
}

test('connect: a_session_that_its_server_has_forgotten_is_begun_again_and_no_call_is_lost', () =>
    scene(async ({ server, call }) => {
        assert.equal(await call('first'), 'first in s1');
        server.forget();
        const names = [...Array(20).keys()].map(i => `call-${i}`);
        const got = await Promise.all(names.map(call));
        assert.deepEqual(got, names.map(name => `${name} in s2`));
        assert.equal(server.asked('s2 tools/call'), names.length);
        assert.equal(server.asked('initialize'), 2);
        assert.equal(server.asked('s2 notifications/initialized'), 1);
        await until(() => server.sessions.get('s2'), 'what the new session has to say unasked is listened to');
    }));

test('connect: a_server_that_comes_back_without_its_sessions_serves_on', () =>
    scene(async ({ server, call }) => {
        await call('first');
        await server.stop();
        await assert.rejects(call('second'), /connect_failed|Connection refused/);
        server.forget();
        await server.start(server.port);
        assert.equal(await call('third'), 'third in s2');
    }));

test('connect: calls_are_told_when_the_session_cannot_be_begun_again_and_the_next_tries', () =>
    scene(async ({ server, call }) => {
        await call('first');
        server.forget();
        server.willBegin = false;
        await assert.rejects(call('second'), /503/);
        server.willBegin = true;
        assert.equal(await call('third'), 'third in s2');
    }));

test('connect: what_the_server_says_unasked_is_heard_in_the_session_that_was_begun_again', () =>
    scene(async ({ server, client }) => {
        await until(() => server.sessions.get('s1'), 'the first session listens');
        const heard = new Promise(resolve => (client.fallbackNotificationHandler = resolve));
        server.forget();
        await until(() => server.sessions.get('s2'), 'the second session listens');
        server.sessions.get('s2').write(`data: ${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/tools/list_changed' })}\n\n`);
        assert.equal((await heard).method, 'notifications/tools/list_changed');
    }));
