// The tables: users, and the proofs that have been used.
import { DataTypes, Sequelize, UniqueConstraintError } from "sequelize";

// DATABASE is mysql://user:password@host/name (DATABASE_SOCKET for a Unix socket), or the path of an SQLite file.
async function connect({ DATABASE: database = "app.sqlite", DATABASE_SOCKET: socketPath }) {
  if (database.includes("://")) return new Sequelize(database, { logging: false, dialectOptions: socketPath ? { socketPath } : {} });
  const { default: dialectModule } = await import("@appthreat/sqlite3"); // brings its binary along; npm sqlite3 would download one
  return new Sequelize({ dialect: "sqlite", dialectModule, storage: database, logging: false });
}
export const db = await connect(process.env);

export const User = db.define("user", {
  id: { type: DataTypes.UUID, defaultValue: DataTypes.UUIDV4, primaryKey: true },
  // Compared byte for byte: MariaDB's usual order holds é equal to e, and would find the user of another mailbox.
  email: { type: DataTypes.STRING.BINARY, allowNull: false, unique: true },
  name: { type: DataTypes.STRING, allowNull: false, defaultValue: "" },
  password: { type: DataTypes.STRING, allowNull: false }, // bcrypt
  // Raised with each new password. Sessions and links of before do not match it any more.
  version: { type: DataTypes.INTEGER, allowNull: false, defaultValue: 0 },
});

const Proof = db.define("proof", { jti: { type: DataTypes.STRING(64), primaryKey: true } });

// standing is what a link is asked for with, and what is compared when it is used: the user and its version, or that there is none.
export const standing = (user) => ({ sub: user?.id ?? "new", state: String(user?.version ?? 0) });

// once does what a proof is good for: in one transaction with a note of its jti, so that it happens once, whoever asks how often. act
// gets the user, or a new one. It returns "done", "before" when it had been done, and "outdated" when the user has changed, or has come
// to be, since the link was asked for.
export async function once({ jti, sub, state, email }, act) {
  try {
    return await db.transaction(async (transaction) => {
      await Proof.create({ jti }, { transaction });
      const user = sub === "new" ? User.build({ email }) : await User.findByPk(sub, { transaction, lock: transaction.LOCK.UPDATE });
      if (String(user?.version) !== state) return "outdated";
      await act(user);
      await user.save({ transaction });
      return "done";
    });
  } catch (e) {
    if (!(e instanceof UniqueConstraintError)) throw e;
    return (await Proof.findByPk(jti)) ? "before" : "outdated"; // the jti is there, or the email is
  }
}
