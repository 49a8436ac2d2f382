/** How this program was called, to begin a command line to copy: by Deno, or by npx where that brought Deno. */
export function invocation(execPath: string = Deno.execPath()): string {
  return /[/\\]_npx[/\\]/.test(execPath) ? `npx -y deno@${Deno.version.deno}` : "deno";
}
