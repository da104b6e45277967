// A module author's day: module/count.c is built with nothing but what `make install` puts on a machine, works in a chain over
// HTTP and over pipes, and is told apart from modules that weir must not run.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from './lib/clients.mjs';
import { startEcho } from './lib/fake.mjs';
import { install } from './lib/install.mjs';
import { run } from './lib/process.mjs';
import { scrape } from './lib/metrics.mjs';
import { Connection, openSession, rpc } from './lib/raw.mjs';
import { here, repo, startWeir } from './lib/weir.mjs';
import { everything, overHttp, overStdio, startServer, waysThroughWeir } from './lib/world.mjs';

const folder = mkdtempSync(join(tmpdir(), 'weir-module-'));
let installed;

before(async () => {
    installed = await install();
    copyFileSync(join(here, 'module/count.c'), join(folder, 'count.c'));
    await build('count');
});
after(() => {
    installed?.remove();
    rmSync(folder, { recursive: true });
});

/* As include/weir/README.md says it. */
async function build(name, ...more) {
    const readme = readFileSync(join(repo, 'include/weir/README.md'), 'utf8');
    const [line] = readme.match(/cc -shared .* -o count\.so count\.c/);
    const words = line.replace('/usr/local', installed.usr).replaceAll('count', name).split(' ').slice(1);
    const built = await run('cc', [...words, '-std=c11', '-Wall', '-Wextra', '-Werror', ...more], { cwd: folder });
    assert.equal(built.code, 0, built.output);
}

const configuration = (upstreams, modules = 'http, stdio, pool, count') => `workers: 1
log: { level: info, file: stderr }
admin: { listen: "127.0.0.1:0" }
module_path: [${folder}]
modules: [${modules}]
listeners:
  edge:
    transport: http
    listen: "127.0.0.1:0"
    routes: [${Object.keys(upstreams).map(name => `{ path: /${name}, upstream: ${name} }`)}]
upstreams: ${JSON.stringify(upstreams)}
`;

const counted = (upstream, options) => ({ ...upstream, chain: [{ count: options }, ...upstream.chain] });

/* Names of the modules there are: those that come with weir, and count. */
const shipped = () => ['count', ...readdirSync(join(installed.usr, 'lib/weir/modules')).map(name => name.replace('.so', ''))].sort();

/* What `weir ARGUMENTS` says of a configuration in a file. */
async function ask(args, text) {
    const file = join(folder, 'asked.yaml');
    writeFileSync(file, text);
    return { file, ...(await run(installed.weir, [...args, '-c', file])) };
}

/* It is refused by one line, which says these things. */
async function isRefused(text, ...patterns) {
    const { file, code, stdout, stderr } = await ask(['-t'], text);
    assert.equal(code, 1, stdout + stderr);
    assert.match(stderr, /^weir: .*\n$/);
    for (const pattern of patterns) assert.match(stderr.replace(file, 'FILE'), pattern);
}

if (waysThroughWeir.length > 0)
    describe('module: count in a chain', () => {
        let server, weir;
        before(async () => {
            server = await startServer(everything.http);
            const refusing = upstream => counted(upstream, { refuse: 'get-sum', max_names: 2, password: 'hush' });
            const text = configuration({ http: refusing(overHttp(server.url)), stdio: refusing(overStdio(everything.stdio)) });
            weir = await startWeir(text, { program: installed.weir });
        });
        after(async () => {
            await weir?.stop();
            await server?.stop();
        });
        const shown = async way => (await weir.status()).upstreams[way].chain.find(({ module }) => module === 'count');

        for (const way of waysThroughWeir) {
            test(`module: over ${way} one tool is refused and the others work`, async () => {
                const me = await connect('client 1.x', weir.url('edge', `/${way}`));
                const { content } = await me.callTool('echo', { message: 'one' });
                assert.equal(content[0].text, 'Echo: one');
                await assert.rejects(me.callTool('get-sum', { a: 1, b: 2 }), ({ code, message, data }) => {
                    assert.equal(code, -32602);
                    assert.match(message, /this tool is refused here/);
                    assert.deepEqual(data, { reason: 'refused' });
                    return true;
                });
                await me.callTool('echo', { message: 'two' });
                await me.close();
            });

            test(`module: over ${way} the refusal has the id of its request, and escapes do not get past it`, async () => {
                const session = await openSession(weir.url('edge', `/${way}`));
                const call = rpc('tools/call', { name: 'NAME', arguments: { a: 1, b: 2 } }, 9007199254740993n.toString());
                for (const name of ['get-sum', 'get\\u002dsum', '\\u0067\\u0065\\u0074\\u002d\\u0073\\u0075\\u006d']) {
                    const { text } = await session.post(call.replace('NAME', name));
                    const { id, error } = JSON.parse(text);
                    assert.equal(error?.code, -32602, text);
                    assert.equal(id, '9007199254740993');
                }
                await session.end();
            });

            test(`module: over ${way} /status shows the calls of each tool`, async () => {
                const me = await connect('client 2.x', weir.url('edge', `/${way}`));
                await me.callTool('get-tiny-image'); // the third name, and there is room for two
                await me.close();
                assert.deepEqual(await shown(way), {
                    module: 'count',
                    options: { refuse: 'get-sum', max_names: 2, password: null },
                    calls: 7,
                    refused: 4,
                    unnamed: 1,
                    'calls of echo': 2,
                    'calls of get-sum': 4
                });
                const { value } = await scrape(weir);
                assert.equal(value('weir_count_calls_total', { upstream: way }), 7);
                assert.equal(value('weir_count_refused_total', { upstream: way }), 4);
            });
        }
    });

describe('module: its options', () => {
    const upstream = options => configuration({ demo: counted(overStdio(['/bin/cat']), options) });

    test('module: an unknown key is refused with the nearest known one', () =>
        isRefused(upstream({ refus: 'echo' }), /FILE:\d+:\d+: unknown key "refus" in count; did you mean "refuse"\?/));

    test('module: a value out of range is refused with the range', () =>
        isRefused(upstream({ max_names: 0 }), /FILE:\d+:\d+: max_names of count: 0 is out of range; it must be from 1 to 10000/));

    test('module: what the module itself refuses is told with its place in the chain', () =>
        isRefused(upstream({ refuse: 'x'.repeat(65) }), /FILE:\d+:\d+: upstream demo: count: refuse: a tool's name of more than 64 bytes/));

    test('module: a chain without a module that owns links is refused', () =>
        isRefused(configuration({ demo: { transport: 'stdio', command: '/bin/cat', chain: ['count'] } }), /demo.*put a pool at its end/));

    test('module: `weir modules` lists it, and `weir modules count` prints its options', async () => {
        const all = await ask(['modules'], upstream({}));
        assert.equal(all.code, 0, all.stderr);
        assert.deepEqual(all.stdout.match(/^\w+/gm), shipped());
        const one = await ask(['modules', 'count'], upstream({}));
        assert.equal(one.code, 0, one.stderr);
        assert.match(one.stdout, /^count +counts tool calls by name, and refuses one tool/);
        assert.ok(one.stdout.includes(join(folder, 'count.so')), one.stdout);
        assert.match(one.stdout, /^ {2}refuse +text\n +a tool whose calls are answered with an error$/m);
        assert.match(one.stdout, /^ {2}max_names +number from 1 to 10000; default 100$/m);
    });

    test('module: they are part of the schema', async () => {
        const { code, stdout, stderr } = await ask(['schema'], upstream({}));
        assert.equal(code, 0, stderr);
        const [, withOptions] = JSON.parse(stdout).$defs.chain.items.anyOf;
        const [, { properties }] = withOptions.properties.count.anyOf;
        assert.deepEqual(properties.max_names, {
            type: 'integer',
            minimum: 1,
            maximum: 10000,
            description: 'tools to count by name; calls of further ones are counted together',
            default: 100
        });
        assert.equal(properties.refuse.description, 'a tool whose calls are answered with an error');
    });
});

describe('module: one that weir must not run', () => {
    const odd = (more, header = 'WEIR_MODULE_HEADER') =>
        `#include <weir/module.h>\nWEIR_MODULE = { ${header}, .name = "odd", .doc = "odd", ${more} };\n`;
    const sources = {
        'another ABI major': [odd('.abi_major = 7'), /odd\.so: built for ABI 7\.\d+, this weir has \d+\.\d+; build it again/],
        'a newer ABI minor': [odd('.abi_minor = 99, .needs_minor = 99'), /odd\.so: needs ABI \d+\.99 or newer, this weir has \d+\.\d+; use a newer/],
        'another name': [odd('.name = "even"'), /odd\.so: the module calls itself even; its file must be named even\.so/],
        'no name': [odd('.name = NULL'), /odd\.so: the module has no name/],
        'another beginning': [odd('.magic = 1'), /odd\.so: is no weir module/],
        'a short descriptor': [odd('.size = 8'), /odd\.so: its descriptor has 8 bytes.*WEIR_MODULE_HEADER/],
        'no symbol': ['extern int weir_modul;\nint weir_modul = 1;\n', /odd\.so: exports no symbol weir_module; a module says WEIR_MODULE/],
        'a function of nobody': [odd('.doc = nobody()').replace('WEIR_M', 'char *nobody(void);\nWEIR_M').replace('.doc = "odd", .doc = nobody()', '.doc = "odd", .exchange = (void *)nobody'), /odd\.so: undefined symbol: nobody/]
    };
    const text = () => configuration({ demo: overStdio(['/bin/cat']) }, 'http, stdio, pool, odd');

    for (const [what, [source, pattern]] of Object.entries(sources))
        test(`module: with ${what} it is refused, and its file is named`, async () => {
            writeFileSync(join(folder, 'odd.c'), source);
            await build('odd', '-Wno-override-init');
            await isRefused(text(), pattern, new RegExp(`${folder}/odd\\.so`));
        });

    test('module: a file that is no shared object is refused', async () => {
        writeFileSync(join(folder, 'odd.so'), 'int main() {}\n');
        await isRefused(text(), new RegExp(`${folder}/odd\\.so: .*(file too short|invalid ELF header)`));
    });

    test('module: a bad one on the path does not hide the good ones', async () => {
        const all = await ask(['modules'], text());
        assert.equal(all.code, 1);
        assert.deepEqual(all.stdout.match(/^\w+/gm), shipped());
        assert.match(all.stderr, /^weir: .*odd\.so: /);
        assert.equal((await ask(['modules', 'pool'], text())).code, 0);
        const one = await ask(['modules', 'odd'], text());
        assert.equal(one.code, 1);
        assert.match(one.stderr, /odd\.so: /);
    });

    test('module: a misspelled one is refused with its place and the nearest there is', () =>
        isRefused(text().replace(', odd]', ', coutn]'), /FILE:5:30: modules: there is no coutn\.so in .*; did you mean "count"\?/));

    test('module: a relative module_path begins in the folder of the configuration', async () => {
        const { code, stderr } = await ask(['-t'], text().replace(', odd]', ', count]').replace(`[${folder}]`, '[.]'));
        assert.equal(code, 0, stderr);
    });

    test('module: one that is nowhere is refused with the folders that were looked into', async () => {
        rmSync(join(folder, 'odd.so'));
        await isRefused(text(), new RegExp(`no odd\\.so in ${folder}.*module_path`));
    });
});

describe('module: a codec', () => {
    const flipped = text => Buffer.concat([Buffer.from('FLIP'), Buffer.from([text.length >> 8, text.length & 255]), Buffer.from(text).map(byte => ~byte), Buffer.alloc(2)]);
    const turned = bytes => {
        assert.equal(bytes.subarray(0, 4).toString(), 'FLIP');
        const pieces = [];
        for (let at = 4, n; (n = bytes.readUInt16BE(at)) > 0; at += 2 + n) pieces.push(bytes.subarray(at + 2, at + 2 + n).map(byte => ~byte));
        return Buffer.concat(pieces).toString();
    };

    test('module: a content coding of a third party is offered, chosen, and taken off', async () => {
        copyFileSync(join(here, 'module/codec_flip.c'), join(folder, 'codec_flip.c'));
        await build('codec_flip');
        const seen = await startEcho();
        const upstreams = { echo: { transport: 'http', servers: [{ url: `http://127.0.0.1:${seen.port}/` }], chain: ['pool'] } };
        const text = configuration(upstreams, 'http, stdio, pool, compress, codec_gzip, codec_flip').replace('    routes:', '    chain: [{ compress: { min_size: 1 } }]\n    routes:');
        const weir = await startWeir(text, { program: installed.weir });
        try {
            const connection = new Connection(weir.url('edge', '/echo'));
            const ask = async (headers, body) => {
                connection.send('POST', headers, body);
                const head = await connection.head();
                return { ...head, bytes: await connection.bytes() };
            };
            const body = rpc('ping', { text: 'turn me' }, 1);
            const one = await ask({ 'accept-encoding': 'flip, gzip;q=0.5', 'content-encoding': 'flip' }, flipped(body));
            assert.equal(one.headers['content-encoding'], 'flip');
            assert.equal(JSON.parse(turned(one.bytes)).result.body, body, 'the server saw it as it was meant');
            const other = await ask({ 'content-encoding': 'br' }, body);
            assert.equal(other.status, 415);
            assert.equal(other.headers['accept-encoding'], 'flip, gzip');
            connection.close();
        } finally {
            await weir.stop();
            await seen.stop();
        }
    });
});
