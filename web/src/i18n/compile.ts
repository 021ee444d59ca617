/**
 * Messages to functions: `{name}` is filled in, ` | ` separates plural forms.
 *
 * vue-i18n's own compiler knows more (links, modifiers, nesting) and weighs as much as
 * a language; this subset is all that the message files use.
 */

import type { MessageCompiler, MessageContext } from "@intlify/core-base";

export const compile: MessageCompiler = (source) => {
  const forms = String(source).split(" | ");
  return (context: MessageContext) => {
    const form = forms.length > 1 ? (context.plural(forms) as string) : forms[0]!;
    return form.replace(/\{(\w+)\}/g, (_, name: string) => String(context.named(name) ?? ""));
  };
};
