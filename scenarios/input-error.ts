/** One thing that a user got wrong: where, what, and how to mend it. */
export interface InputMessage {
  readonly message: string;
  /** The file, option or trace it is in, as the user named it. */
  readonly file?: string;
  /** 1-based. */
  readonly line?: number;
  readonly hint?: string;
}

/**
 * What a user got wrong: a file, option, scenario, trace or image container that cannot be used. The command line
 * prints each message and exits with 2, never with a stack trace.
 */
export class InputError extends Error {
  readonly messages: readonly InputMessage[];

  constructor(messages: readonly InputMessage[] | InputMessage) {
    const list: readonly InputMessage[] = 'message' in messages ? [messages] : messages;
    super(list.map(formatInputMessage).join('\n'));
    this.name = 'InputError';
    this.messages = list;
  }
}

/** `file:line: message` and the hint on a line of its own. */
export function formatInputMessage(input: InputMessage): string {
  const place = [input.file, input.line].filter((part) => part !== undefined).join(':');
  const hint = input.hint === undefined ? '' : `\n  hint: ${input.hint}`;
  return `${place === '' ? '' : `${place}: `}${input.message}${hint}`;
}
