// A line per test, the failures once more in full, and `N passed, N failed` as the last line.
import { inspect } from 'node:util';

const reason = error => inspect(error?.cause ?? error, { depth: 4 });

export default async function* reporter(source) {
    const failures = [];
    const counts = { passed: 0, failed: 0 };
    for await (const { type, data } of source) {
        if (type === 'test:stdout' || type === 'test:stderr') yield data.message;
        if (type === 'test:diagnostic' && data.level === 'error') yield `${data.message}\n`; // an error outside of any test
        if (type !== 'test:pass' && type !== 'test:fail') continue;
        const isSuite = data.details.type === 'suite';
        const failed = type === 'test:fail';
        if (!failed && data.name.endsWith('.test.mjs')) continue; // a file without a test for the ways that were chosen
        // A suite fails with its members; on its own account only when a hook of it did.
        if (isSuite && !(failed && data.details.error?.failureType === 'hookFailed')) continue;
        counts[failed ? 'failed' : 'passed'] += 1;
        yield `${failed ? 'not ok' : 'ok'}  ${data.name}  (${Math.round(data.details.duration_ms)} ms)\n`;
        if (failed) failures.push(data);
    }
    for (const { name, file, line, details } of failures)
        yield `\n--- ${name}\n    ${file}:${line}\n${reason(details.error).replace(/^/gm, '    ')}\n`;
    yield `${counts.passed} passed, ${counts.failed} failed\n`;
}
