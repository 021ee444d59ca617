import { computed, type WritableComputedRef } from "vue";

import { useScreen, type DialogName } from "@/stores/screen";

/** `v-model:open` of the dialog with this name. */
export function useDialog(name: DialogName): WritableComputedRef<boolean> {
  const screen = useScreen();
  return computed({
    get: () => screen.dialog === name,
    set: (open) => (open ? screen.show(name) : screen.hide(name)),
  });
}
