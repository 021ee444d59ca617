import { onScopeDispose, ref, watch, type Ref } from "vue";

/** True once `condition` has held for a moment: what is quick shows no skeleton. */
export function useDelayed(condition: () => boolean, ms = 150): Ref<boolean> {
  const shown = ref(false);
  let timer: ReturnType<typeof setTimeout> | undefined;
  watch(
    condition,
    (holds) => {
      clearTimeout(timer);
      if (holds) timer = setTimeout(() => (shown.value = true), ms);
      else shown.value = false;
    },
    { immediate: true },
  );
  onScopeDispose(() => clearTimeout(timer));
  return shown;
}
