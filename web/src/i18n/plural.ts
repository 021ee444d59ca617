/**
 * Which of the forms `a | b | c` fits a number (Unicode CLDR plural rules).
 * English: one, other. Chinese: other. Russian: one, few, many.
 */

type Rule = (count: number, forms: number) => number;

const rules = { en: new Intl.PluralRules("en"), ru: new Intl.PluralRules("ru") };

const english: Rule = (count, forms) =>
  forms > 1 && rules.en.select(count) !== "one" ? 1 : 0;

const chinese: Rule = () => 0;

const RUSSIAN_FORMS: Partial<Record<Intl.LDMLPluralRule, number>> = { one: 0, few: 1, many: 2 };

const russian: Rule = (count, forms) =>
  Math.min(forms - 1, RUSSIAN_FORMS[rules.ru.select(count)] ?? 1);

export const pluralRules: Record<string, Rule> = { en: english, zh: chinese, ru: russian };
