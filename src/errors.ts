// This module is browser compatible.

/**
 * A mistake the user can mend: a bad file, flag, row or a device that is too small. The message says what was expected,
 * what was found and what to do. The command line prints it without a stack and exits with code 2.
 */
export class UserError extends Error {
  override name = "UserError";
}
