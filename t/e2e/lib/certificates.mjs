// Certificates that are their own authority, made by openssl when a test needs them.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { run } from './process.mjs';

/* Writes FOLDER/NAME.pem and FOLDER/NAME.key for these names ("DNS:a.test,IP:127.0.0.1"). */
export async function certificate(folder, name, names) {
    const files = ['-keyout', join(folder, `${name}.key`), '-out', join(folder, `${name}.pem`)];
    const key = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1'];
    const made = await run('openssl', ['req', ...key, ...files, '-subj', `/CN=${name}`, '-addext', `subjectAltName=${names}`]);
    assert.equal(made.code, 0, made.output);
}
