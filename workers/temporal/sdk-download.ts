import { fileURLToPath } from 'node:url';
import { runProgram } from './run-program.ts';

/**
 * Has the Temporal SDK download its dev server or its time-skipping server into `folder`.
 *
 * The SDK offers only to download *and* start it, and doing so creates its native runtime, whose settings cannot be
 * changed afterwards: so a short-lived Node process does it. Offline it fails within milliseconds.
 *
 * @returns why it failed; '' if it did not
 */
export async function downloadBySdk(
  server: 'dev-server' | 'time-skipping',
  folder: string,
  env: NodeJS.ProcessEnv,
): Promise<string> {
  const create = server === 'dev-server' ? 'createLocal' : 'createTimeSkipping';
  const script = `
    import { TestWorkflowEnvironment } from '@temporalio/testing';
    const [downloadDir] = process.argv.slice(1);
    const executable = { type: 'cached-download', downloadDir, ttl: '3650 days' };
    try {
      await (await TestWorkflowEnvironment.${create}({ server: { executable } })).teardown();
    } catch (err) {
      console.error(String(err?.message ?? err).split('\\n')[0]);
      process.exit(1);
    }`;
  const ran = await runProgram(process.execPath, ['--input-type=module', '--eval', script, folder], {
    env,
    cwd: fileURLToPath(new URL('.', import.meta.url)), // where the package is found from
    timeoutMs: 3 * 60_000, // 60 MB over a slow line; a firewall that swallows packets must not stop the start for long
  });
  return ran.why.replace(/^Failed to start ephemeral server: /, '').replace(/ for url .*/, ' (no network?)');
}
