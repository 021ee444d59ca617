// Before the first paint: the chosen theme and language, so that nothing flashes.
(function () {
  var root = document.documentElement;
  try {
    var theme = localStorage.getItem("salon.theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    var language = localStorage.getItem("salon.language");
    if (language) root.lang = language;
  } catch (e) {
    // storage may be forbidden; the defaults hold
  }
})();
