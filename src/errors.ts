// This module is browser compatible.

/**
 * A mistake the user can mend: a bad file, flag, row or a device that is too small. The message says what was expected,
 * what was found and what to do. The command line prints it without a stack and exits with code 2.
 */
export class UserError extends Error {
  override name = "UserError";
}

/** Arithmetic left the range of its numbers: NaN or infinity stood where a number was expected. */
export class NonFiniteError extends UserError {
  override name = "NonFiniteError";
}

/** What was asked for cannot be done now, through no fault of who asks: it may be asked for again shortly. */
export class UnavailableError extends UserError {
  override name = "UnavailableError";
}
