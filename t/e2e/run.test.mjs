// `weir run -- COMMAND`: a server behind weir with no configuration file.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { connect, kinds } from './lib/clients.mjs';
import { start } from './lib/process.mjs';
import { request, rpc } from './lib/raw.mjs';
import { runWeir } from './lib/weir.mjs';
import { everything, waysThroughWeir } from './lib/world.mjs';

const textOf = ({ content }) => content.map(({ text = '' }) => text).join('\n');

/* weir run with `command`, and what it printed: the URL, the curl line, the line for a client. */
async function serve(command, options = [], how = {}) {
    const weir = await runWeir(['run', '--listen', '127.0.0.1:0', ...options, '--', ...command], how);
    const [url] = await weir.task.seen(/http:\/\/127\.0\.0\.1:\d+\/[^\s'"]*/);
    const [, curl] = await weir.task.seen(/^\s*(curl .*)\n/m);
    return { weir, url, curl, printed: () => weir.task.output };
}

if (waysThroughWeir.length > 0)
    describe('weir run', () => {
        let served;
        before(async () => {
            served = await serve(everything.stdio, [], { signal: 'SIGINT' });
        });
        after(() => served.weir.stop()); // SIGINT, status 0, no child left

        for (const kind of Object.keys(kinds))
            test(`run: serves server-everything to ${kind}`, async () => {
                const me = await connect(kind, served.url);
                assert.equal(textOf(await me.callTool('echo', { message: kind })), `Echo: ${kind}`);
                assert.equal((await me.client.listTools()).tools.length, 13);
                await me.close();
            });

        test('run: the_curl_line_it_prints_works', async () => {
            const shell = start('sh', ['-c', served.curl]);
            assert.deepEqual(await shell.ended, { code: 0, signal: null }, shell.stderr);
            assert.match(shell.stdout, /"result"/);
        });

        test('run: prints_a_line_for_a_client', () => {
            const lines = served.printed().split('\n');
            const others = lines.filter(line => line.includes(served.url) && !line.includes('curl'));
            assert.ok(others.length >= 2, `the URL, and a line that connects a client:\n${served.printed()}`);
        });
    });

if (waysThroughWeir.length > 0)
    test('run: serves_at_the_path_it_is_given', async () => {
        const { weir, url } = await serve(everything.stdio, ['--path', '/here']);
        assert.match(url, /\/here$/);
        const elsewhere = await request(url.replace('/here', '/mcp'), 'POST', {}, rpc('ping', {}, 1));
        assert.equal(elsewhere.status, 404, elsewhere.text);
        const me = await connect('client 1.x', url);
        assert.match(textOf(await me.callTool('get-sum', { a: 1, b: 2 })), /\b3\b/);
        await me.close();
        await weir.stop();
    });
