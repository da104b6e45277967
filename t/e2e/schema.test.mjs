// `weir schema` says to an editor what `weir -t` says to an operator: what one of them takes the other takes, and what the schema
// refuses weir refuses.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Ajv from 'ajv/dist/2020.js';
import { parse } from 'yaml';
import { blocks, configurations, edited } from './lib/documents.mjs';
import { run } from './lib/process.mjs';
import { binary } from './lib/weir.mjs';
import { configure, overHttp, overStdio } from './lib/world.mjs';

const folder = mkdtempSync(join(tmpdir(), 'weir-schema-'));
after(() => rmSync(folder, { recursive: true }));

let validate;
before(async () => {
    const { code, stdout, stderr } = await run(binary, ['schema']);
    assert.equal(code, 0, stderr);
    validate = new Ajv({ strict: true, allErrors: true, allowUnionTypes: true }).compile(JSON.parse(stdout));
});

const said = () => validate.errors?.map(({ instancePath, message }) => `${instancePath} ${message}`).join('\n');

async function check(text) {
    const file = join(folder, 'weir.yaml');
    writeFileSync(file, text);
    return run(binary, ['-t', '-c', file]);
}

for (const [name, text] of Object.entries(configurations))
    test(`schema: conf/${name} is valid`, () => assert.ok(validate(parse(text)), said()));

test('schema: the configurations of README.md are valid', () => {
    assert.ok(blocks('yaml').length > 0);
    for (const text of blocks('yaml')) assert.ok(validate(parse(text)), said());
});

const base = configure({ far: overHttp('http://127.0.0.1:1/mcp'), near: overStdio(['cat']) });

/* The base but for one piece of it; put together when it is asked for. */
const but = (from, to) => () => edited(base, [from, to]);

const routes = base.match(/ {4}routes:\n( {6}.*\n)+/)[0];
const chain = '"chain":[{"pool":{"min":1,"max":32}}]';

const good = {
    'the base': () => base,
    'workers by core': but('workers: 2', 'workers: auto'),
    'a duration of nothing': but('keepers: 1', 'drain_timeout: 0'),
    'a duration with its unit': but('keepers: 1', 'drain_timeout: 250ms'),
    'a size as a number': but('keepers: 1', 'access_log: { file: a.log, buffer: 65536 }'),
    'a size with its unit': but('keepers: 1', 'access_log: { file: a.log, buffer: 64KiB, flush: 1s }'),
    'one module for a list of them': but('[{"pool":{"min":1,"max":32}}]', '[ pool ]'),
    'a word for a number': but(chain, chain.replace('"min":1', '"min":"auto"')),
    'a module without options': but('[{"pool":{"min":1,"max":32}}]', '[ pool: ]'),
    'several addresses': but('listen: "127.0.0.1:0"\n    routes', 'listen: ["127.0.0.1:0", ":0"]\n    routes'),
    'one transport in a list': but('transport: http\n', 'transport: [http]\n'),
    'an option of the accept side': but('    routes:', '    max_message: 1MiB\n    routes:'),
    'an option of the connect side': but(chain, `${chain},"forwarded":"both"`),
    'an option of a server': but('{"url":', '{"connect_timeout":"1s","weight":2,"url":'),
    'an environment with numbers': but('"command":["cat"]', '"command":"cat","env":{"LEVEL":3,"QUIET":true}'),
    'sessions': but(chain, `${chain},"sessions":{"idle_timeout":"10m","event_log":"1MiB"}`)
};

for (const [what, make] of Object.entries(good))
    test(`schema: ${what} is good for both`, async () => {
        const text = make();
        assert.ok(validate(parse(text)), said());
        const { code, stderr } = await check(text);
        assert.equal(code, 0, stderr);
    });

const broken = {
    'an unknown key': but('keepers: 1', 'keeprs: 1'),
    'an unknown key of a listener': but('    routes:', '    max_mesage: 1MiB\n    routes:'),
    'an unknown key of an upstream': but(chain, `${chain},"forwardd":"both"`),
    'an option of another transport': but('"command":["cat"]', '"command":["cat"],"forwarded":"both"'),
    'an unknown key of a server': but('{"url":', '{"wait":2,"url":'),
    'an unknown key of a module': but('{"min":1,"max":32}', '{"min":1,"maxx":32}'),
    'an unknown key of a route': but('path: /far,', 'path: /far, hots: x,'),
    'a module that is not there': but('modules: [http,stdio,pool]', 'modules: [http, stdio, pool, poool]'),
    'a chain of a module that is not there': but('{"pool":', '{"poool":'),
    'a transport in a chain': but(chain, '"chain":["http"]'),
    'a transport that is not there': but('"transport":"http"', '"transport":"htpp"'),
    'a transport that is none': but('transport: http\n', 'transport: pool\n'),
    'a number that is a word': but('keepers: 1', 'keepers: many'),
    'a number out of range': but('keepers: 1', 'keepers: 17'),
    'too many workers': but('workers: 2', 'workers: 257'),
    'a duration without a unit': but('keepers: 1', 'drain_timeout: 30'),
    'a size with a unit of time': but('    routes:', '    max_message: 10s\n    routes:'),
    'a size out of range': but('    routes:', '    max_message: 10\n    routes:'),
    'a word of another list': but(chain, `${chain},"forwarded":"perhaps"`),
    'a level that is not there': but('level: info', 'level: verbose'),
    'a path that is none': but('path: /far,', 'path: far,'),
    'a listener without routes': but(routes, ''),
    'an empty list of routes': but(routes, '    routes: []\n'),
    'a listener without an address': but('    listen: "127.0.0.1:0"\n    routes', '    routes'),
    'an upstream without a chain': but(`,${chain}`, ''),
    'an upstream without a command': but('"command":["cat"],', ''),
    'an upstream without servers': but('"servers":[{"url":"http://127.0.0.1:1/mcp"}],', ''),
    'servers for a command': but('"command":["cat"]', '"command":["cat"],"servers":[{"weight":1}]'),
    'no listeners': () => base.slice(0, base.indexOf('listeners:')) + base.slice(base.indexOf('upstreams:')),
    'no modules': but('modules: [http,stdio,pool]\n', ''),
    'two modules in one place': but('{"pool":{"min":1,"max":32}}', '{"pool":{},"http":{}}'),
    'a name with a space': but('  edge:', '  "my edge":')
};

for (const [what, make] of Object.entries(broken))
    test(`schema: ${what} is refused by both`, async () => {
        const text = make();
        const { code, stderr } = await check(text);
        assert.equal(code, 1, 'weir -t refuses it');
        assert.match(stderr, /^weir: .*\n$/, 'in one line');
        assert.match(stderr, new RegExp(`^weir: ${join(folder, 'weir.yaml')}:`), 'which names the file');
        assert.ok(!validate(parse(text)), 'the schema refuses it');
    });
