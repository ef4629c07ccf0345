// Passkeys: browsers make and use them by script only. A form with `data-passkey` carries the answer.
"use strict";

const can = () => window.PublicKeyCredential && PublicKeyCredential.parseCreationOptionsFromJSON;

async function asked(address) {
  const said = await fetch(address, { method: "POST" });
  if (!said.ok) throw new Error(`${said.status}`);
  return said.json();
}

async function answer(form) {
  const options = form.dataset.options ? JSON.parse(form.dataset.options) : await asked(form.action + "/ask");
  const found = form.dataset.passkey === "create"
    ? await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
    : await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
  return JSON.stringify(found.toJSON());
}

document.querySelectorAll("form[data-passkey]").forEach((form) => {
  if (!can()) return;
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fault = form.querySelector("[data-fault]");
    fault.textContent = "";
    try {
      form.elements.passkey.value = await answer(form);
    } catch (error) {
      fault.textContent = error.name === "InvalidStateError"
        ? "This passkey is known already." : "No passkey was given. Try again, or use another way.";
      return;
    }
    form.submit();
  });
});
