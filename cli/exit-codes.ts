/** What a command's exit code says. */
export const EXIT = {
  ok: 0,
  /** It was tried and failed, was halted or was refused. */
  failed: 1,
  /** The command line itself is wrong. */
  usage: 2,
  /** Nobody answers at the API's address. */
  unreachable: 3,
} as const;

export const EXIT_CODES_HELP = `
Exit codes: 0 ok, 1 failed, halted or refused, 2 wrong usage, 3 the API is not reachable.`;
