"use server";

import { revalidatePath } from "next/cache";
import { add, remove, toggle } from "../lib/todos";

export async function addTodo(form: FormData): Promise<void> {
  await add(String(form.get("title") ?? ""));
  revalidatePath("/");
}

export async function toggleTodo(form: FormData): Promise<void> {
  await toggle(String(form.get("id") ?? ""));
  revalidatePath("/");
}

export async function removeTodo(form: FormData): Promise<void> {
  await remove(String(form.get("id") ?? ""));
  revalidatePath("/");
}
